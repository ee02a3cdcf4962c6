import pytest

from gw.security import roles
from gw.security.roles import PERMISSIONS, Operation, Role, may


def test_the_nine_roles_are_spelled_as_clients_know_them():
    assert {role.value for role in Role} == {
        *("root", "admin", "subscriber", "partner", "csr"),
        *("system", "installer", "noc", "accounting"),
    }


def test_every_operation_has_its_roles_and_root_is_always_among_them():
    assert set(PERMISSIONS) == set(Operation)
    assert all(Role.ROOT in allowed for allowed in PERMISSIONS.values())


@pytest.mark.parametrize("operation", [Operation.DELETE_DEVICE, Operation.DELETE_DEVICES])
def test_devices_are_deleted_by_root_and_admin_only(operation):
    assert {role for role in Role if may(role.value, operation)} == {Role.ROOT, Role.ADMIN}


@pytest.mark.parametrize("role", ["", "Root", "superuser"])
def test_an_unknown_role_may_nothing(role):
    assert not any(may(role, operation) for operation in Operation)


@pytest.mark.parametrize("role", ["", "unknown", "subscriber", "csr", "noc", "accounting"])
def test_who_sees_no_secrets(role):
    assert not roles.may_see_secrets(role)


@pytest.mark.parametrize("role", ["root", "admin", "partner", "system", "installer"])
def test_who_sees_secrets(role):
    assert roles.may_see_secrets(role)
