"""`gw simulate`: many simulated devices against a gateway, and what became of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gw.cli.pki import issue_with_progress, plain_errors

if TYPE_CHECKING:
    from gw.simulator.fleet import Fleet, Report

_EPILOG = """\
\b
Examples:
  gw simulate --devices 20 --host localhost --port 15002 --pki var/pki
  gw simulate --devices 200 --port 15002 --pki var/pki --drift 5 --drop 20
  gw simulate --devices 50 --port 15002 --pki var/pki --reject /radios/0/channel
  gw simulate --devices 50 --port 15002 --pki var/pki --chatter 2 --silent leds --late 3
"""


@click.command(epilog=_EPILOG)
@click.option("--devices", type=click.IntRange(1, 50_000), default=20, show_default=True,
              metavar="N", help="How many.")  # fmt: skip
@click.option("--host", default="localhost", show_default=True, metavar="HOST",
              help="Address of the gateway.")  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535), default=15002, show_default=True,
              metavar="PORT", help="Its port for devices.")  # fmt: skip
@click.option("--pki", "pki_dir", type=click.Path(path_type=Path), required=True, metavar="DIR",
              help="Directory that `gw pki init` made. Missing device certificates are made "
                   "there.")  # fmt: skip
@click.option("--prefix", default="02a0c9", show_default=True, metavar="DIGITS",
              help="First digits of the serial numbers.")  # fmt: skip
@click.option("--serial", "serials", multiple=True, metavar="SERIAL",
              help="A serial number, instead of --devices; may be repeated.")  # fmt: skip
@click.option("--platform", type=click.Choice(["ap", "switch", "mixed"]), default="ap",
              show_default=True, help="Every fourth of `mixed` is a switch.")  # fmt: skip
@click.option("--state-interval", type=click.FloatRange(0.01), default=60.0, show_default=True,
              metavar="SECONDS", help="Between states.")  # fmt: skip
@click.option("--health-interval", type=click.FloatRange(0.01), default=120.0, show_default=True,
              metavar="SECONDS", help="Between health checks.")  # fmt: skip
@click.option("--duration", type=click.FloatRange(0), default=0.0, show_default=True,
              metavar="SECONDS", help="How long to run; 0: until Ctrl-C.")  # fmt: skip
@click.option("--connect-rate", type=click.FloatRange(0.1), default=200.0, show_default=True,
              metavar="N", help="Connections per second, at most.")  # fmt: skip
@click.option("--state-dir", type=click.Path(path_type=Path), metavar="DIR",
              help="Where devices keep their configuration, for the next run.")  # fmt: skip
@click.option("--reject", "rejects", multiple=True, metavar="POINTER",
              help="A parameter (JSON pointer, or name) that devices refuse.")  # fmt: skip
@click.option("--substitute", is_flag=True, help="Apply the rest of what is refused (result 1).")
@click.option("--drift", type=click.IntRange(0), default=0, metavar="N",
              help="Drift every N states.")  # fmt: skip
@click.option("--drop", type=click.IntRange(0), default=0, metavar="N",
              help="Lose the link every N states.")  # fmt: skip
@click.option("--reboot", type=click.IntRange(0), default=0, metavar="N",
              help="Restart every N states.")  # fmt: skip
@click.option("--reject-first", type=click.IntRange(0), default=0, metavar="N",
              help="Refuse the first N configurations, whatever is in them.")  # fmt: skip
@click.option("--chatter", type=click.IntRange(0), default=0, metavar="N",
              help="Every N states also one of the other messages.")  # fmt: skip
@click.option("--late", type=click.FloatRange(0), default=0.0, metavar="SECONDS",
              help="Answer so late.")  # fmt: skip
@click.option("--silent", "silents", multiple=True, metavar="METHOD",
              help="Do it and never answer; `*` is all.")  # fmt: skip
@click.option("--ignore", "ignored", multiple=True, metavar="METHOD",
              help="Neither do nor answer it.")  # fmt: skip
@click.option("--fail", "failing", multiple=True, metavar="METHOD",
              help="Let it fail as the agent says it.")  # fmt: skip
@click.option("--hang", "hanging", multiple=True, metavar="METHOD",
              help="Let it not end, until an access point aborts it.")  # fmt: skip
@click.option("--apply", "apply_seconds", type=click.FloatRange(0), default=0.0, metavar="SECONDS",
              help="Take so long to apply; a switch hears nothing meanwhile.")  # fmt: skip
@click.option("--runaway", type=click.IntRange(0), default=0, metavar="N",
              help="Telemetry that nobody asked for, every N states.")  # fmt: skip
@click.option("--repeat", type=click.IntRange(0, 100), default=0, metavar="N",
              help="Say each answer N times more.")  # fmt: skip
@click.option("--foreign", type=click.IntRange(0), default=0, metavar="N",
              help="Answer what nobody asked, every N states.")  # fmt: skip
@click.option("--garbage", type=click.IntRange(0), default=0, metavar="N",
              help="Send what is no message, every N states.")  # fmt: skip
@click.option("--silence", type=click.IntRange(0), default=0, metavar="N",
              help="Say nothing more after N states, but stay.")  # fmt: skip
@click.option("--clock", type=int, default=0, metavar="SECONDS",
              help="By how much the devices' clocks are wrong.")  # fmt: skip
@click.option("--no-hash", is_flag=True, help="Report no config_hash, as stock agents.")
@click.option("--no-compress", is_flag=True, help="Neither send nor take compressed params.")
@click.option("--full-speed", is_flag=True, help="Numbered states as fast as they are taken.")
@click.option("--states", type=click.IntRange(0), default=0, metavar="N",
              help="States per device at full speed; 0: no end.")  # fmt: skip
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the random choices.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Write what happened to it, as JSON.")  # fmt: skip
def simulate(**options: Any) -> None:
    """Simulate devices: they connect, take configurations, report, and break on request.

    Exits 0 if every device is connected (or has sent all its states) at the end.
    """
    import msgspec

    from gw.security import pki
    from gw.simulator.faults import Faults, Rejection
    from gw.simulator.fleet import Plan, make_fleet

    substitution = None if options["substitute"] else msgspec.UNSET
    faults = Faults(
        reject=[Rejection(at=pointer, substitution=substitution) for pointer in options["rejects"]],
        reject_as_objects=True,
        drift_every=options["drift"],
        drop_every=options["drop"],
        reboot_every=options["reboot"],
        reject_first=options["reject_first"],
        chatter_every=options["chatter"],
        answer_delay=options["late"],
        silent=frozenset(options["silents"]),
        ignored=frozenset(options["ignored"]),
        failing=frozenset(options["failing"]),
        hanging=frozenset(options["hanging"]),
        apply_seconds=options["apply_seconds"],
        runaway_every=options["runaway"],
        repeats=options["repeat"],
        foreign_every=options["foreign"],
        garbage_every=options["garbage"],
        silence_after=options["silence"],
        clock=options["clock"],
    )
    directory: Path = options["pki_dir"]
    with plain_errors():
        serials = list(options["serials"]) or pki.numbered_serials(
            options["prefix"], options["devices"]
        )
        missing = pki.missing_devices(directory, serials)
        if missing:
            issue_with_progress(directory, missing)
    plan = Plan(
        state_interval=options["state_interval"],
        health_interval=options["health_interval"],
        connect_rate=options["connect_rate"],
        full_speed=options["full_speed"],
        states=options["states"],
        faults=faults,
    )
    state_dir: Path | None = options["state_dir"]
    if state_dir is not None:
        state_dir.mkdir(parents=True, exist_ok=True)
    kind = options["platform"]

    def build() -> Fleet:
        return make_fleet(
            f"{options['host']}:{options['port']}",
            directory,
            serials,
            plan,
            platform=lambda number: (
                "switch" if kind == "switch" or (kind == "mixed" and number % 4 == 3) else "ap"
            ),
            report_hash=not options["no_hash"],
            compress=not options["no_compress"],
            state_dir=state_dir,
            seed=options["seed"],
        )

    _allow_descriptors(len(serials))
    report = _run(build, options["duration"], options["report_file"], quiet=options["quiet"])
    _write(report, options["report_file"])
    done = options["states"] and all(
        sent >= options["states"] for sent in report.states_sent.values()
    )
    sys.exit(0 if done or report.connected == report.devices else 1)


def _allow_descriptors(devices: int) -> None:
    """Raise the soft limit of open files to what the devices need, or say that it is too low."""
    import resource

    wanted = devices + 64
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise click.ClickException(
                f"{devices} devices need {wanted} open files, and the limit is {hard}: "
                f"raise it (ulimit -n {wanted}), or run several simulators"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _run(build: Any, duration: float, report_file: Path | None, *, quiet: bool) -> Report:
    import uvloop

    async def main() -> Report:
        fleet: Fleet = build()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, fleet.stop)
        watching = asyncio.create_task(_watch(fleet, quiet=quiet))
        try:
            report = await fleet.run(duration)
            if fleet.stuck:
                _write(report, report_file)
                click.echo(f"{fleet.stuck} devices did not end; giving them up.", err=True)
                os._exit(1)
            return report
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    report: Report = uvloop.run(main())
    return report


async def _watch(fleet: Fleet, *, quiet: bool) -> None:
    """Show how it goes: a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("Connected"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
    )  # fmt: skip
    with Progress(
        *columns, console=console, transient=True, disable=quiet or not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=len(fleet.devices), detail="")
        while True:
            detail = f"states {fleet.states_sent}  configurations {fleet.configures}"
            if fleet.errors:
                detail += f"  failed connects {sum(fleet.errors.values())}"
            bar.update(task, completed=fleet.online, detail=detail)
            await asyncio.sleep(0.25)


def _write(report: Report, file: Path | None) -> None:
    import msgspec

    click.echo(
        f"{report.connected} of {report.devices} devices connected at the end, "
        f"{report.configured_devices} with a configuration of the gateway; "
        f"{sum(report.states_sent.values())} states sent, {report.configures} configurations "
        f"received ({report.applied} applied, {report.rejections} refused), "
        f"{report.reconnects} reconnects."
    )
    if report.errors:
        parts = ", ".join(f"{name} {count}" for name, count in sorted(report.errors.items()))
        click.echo(f"Failed connects: {parts}", err=True)
    if file is not None:
        new = file.with_name(file.name + ".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
        new.replace(file)
