"""The client can be imported without the server's machinery."""

import subprocess
import sys


def test_importing_the_client_loads_no_server_and_no_database():
    code = (
        "import sys, gw.client; "
        "print(sorted({'litestar', 'uvicorn', 'asyncpg', 'aiokafka', 'uvloop'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


def test_both_clients_have_the_same_methods():
    from gw.client import AsyncClient, Client

    def public(kind):
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
    assert len(public(Client)) > 60
