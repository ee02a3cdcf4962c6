"""The fixture itself: the server that the other tests rely on."""

import asyncpg
import pytest


async def test_it_wants_the_password_and_offers_tls(postgres_server):
    name = await postgres_server.make_database()
    url = postgres_server.url(name, more="sslmode=require")
    connection = await asyncpg.connect(url)
    sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert await connection.fetchval(sql)
    assert (await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = user"))[
        :13
    ] == "SCRAM-SHA-256"
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, password="wrong")
    await postgres_server.drop_database(name)


async def test_killed_and_started_again_it_has_what_was_committed(start_postgres):
    server = start_postgres()
    await server.run("CREATE TABLE kept (n int)")
    connection = await server.connect()
    await connection.execute("INSERT INTO kept VALUES (1)")
    server.kill()
    with pytest.raises(OSError):
        await server.run("SELECT 1")
    server.start()
    assert [tuple(row) for row in await server.run("SELECT n FROM kept")] == [(1,)]
    server.pause()
    with pytest.raises(TimeoutError):
        await asyncpg.connect(server.url("postgres"), timeout=0.2)
    server.resume()
    assert len(await server.run("SELECT n FROM kept")) == 1
    connection.terminate()
