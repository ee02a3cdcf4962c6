"""The schema files of the settings, looked at before the gateway starts."""

from __future__ import annotations

from gw.core.settings import Settings


def schema_faults(settings: Settings) -> list[str]:
    """Return what is wrong with the files, one line each: `setting: file: reason`."""
    named = {
        "configuration.schema": settings.configuration.schema,
        "configuration.schema_switch": settings.configuration.schema_switch,
    }
    faults = []
    for setting, file in named.items():
        if not file:
            continue
        from gw.validation.schema import SchemaError
        from gw.validation.schemas import Schemas

        try:
            Schemas(file)
        except SchemaError as error:
            faults.append(f"{setting}: {error}")
    return faults
