"""A Kubernetes of this process's own, for tests without a cluster: an API server over HTTP, a Job controller, a
scheduler and nodes, whose pods really run as local processes."""

from weir.engines.kubernetes.fake.cluster import FakeCluster, FakeNode

__all__ = ["FakeCluster", "FakeNode"]
