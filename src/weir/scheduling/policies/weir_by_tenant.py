"""`weir-by-tenant`: as `weir`, in two strict levels: the tenant that has used least for its weight is always the next.

Within a tenant the order is that of `weir`. See docs/discussion/quality.md for what the strictness costs.
"""

from dataclasses import replace

from weir.scheduling.policies.weir import POLICY as WEIR

POLICY = replace(WEIR, name="weir-by-tenant", fair=False, by_tenant=True)
