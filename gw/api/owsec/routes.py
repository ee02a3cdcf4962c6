"""The routes of the security service, below the base path."""

from __future__ import annotations

from typing import Final

from litestar.handlers import BaseRouteHandler

from gw.api import system, system_configuration
from gw.api.owsec import (
    action_pages,
    api_keys,
    audit,
    avatars,
    email,
    endpoints,
    oauth2,
    preferences,
    secrets,
    sms,
    subscribers,
    totp,
    user_changes,
    users,
    validation,
)

ROUTES: Final[tuple[BaseRouteHandler, ...]] = (
    oauth2.sign_in,
    oauth2.read_caller,
    oauth2.sign_out,
    users.list_users,
    users.read_user,
    user_changes.create_user,
    user_changes.change_user,
    user_changes.delete_user,
    validation.validate_token,
    validation.validate_api_key,
    api_keys.list_api_keys,
    api_keys.create_api_key,
    api_keys.change_api_key,
    api_keys.delete_api_key,
    audit.list_audit,
    avatars.read_avatar,
    avatars.replace_avatar,
    avatars.delete_avatar,
    totp.begin_totp,
    totp.prove_totp,
    sms.send_sms,
    email.send_email,
    secrets.read_secret,
    secrets.set_secret,
    secrets.delete_secret,
    action_pages.read_action_link,
    action_pages.submit_action_link,
    preferences.read_preferences,
    preferences.replace_preferences,
    endpoints.list_endpoints,
    system.read_system,
    *subscribers.ABSENT,
    system.change_system,
    system_configuration.read_settings,
    system_configuration.refuse_settings,
    system_configuration.refuse_settings_reset,
)
