"""Roles of those who hold a token."""

from enum import Enum


class Role(Enum):
    """What the holder of a token may do; a scope (organisation, project or centre) says where."""

    COORDINATOR = "coordinator"
    TENANT_ADMIN = "tenant-admin"
    TENANT_MEMBER = "tenant-member"
    CENTRE_OPERATOR = "centre-operator"
    AUDITOR = "auditor"
    AGENT = "agent"
