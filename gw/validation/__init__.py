"""Configurations looked at before they are stored (southbound.md 4.8). Pure, but for schema files.

`schema` checks against a JSON Schema, `refusals` what crashes agents, `capabilities` what the
device cannot do; `changes` tells what would become different.
"""
