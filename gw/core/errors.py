"""Every numbered error of the product: number, slug, text, what to do, whether to try again.

The numbers are owgw's (northbound.md, section 6): clients parse them out of the answers, so a
number is never given another meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

INTERNAL: Final = 1002
NOT_FOUND: Final = 404


class Fault(NamedTuple):
    """One kind of error."""

    number: int
    slug: str
    """Stable name, for logs and for the code."""
    text: str
    hint: str
    """What the caller can do about it."""
    retriable: bool = False
    """The same request may succeed later."""
    http: int = 400
    """Status of the answer, unless the raiser names another."""


_FAULTS: Final = (
    Fault(0, "none", "No error.", "", http=200),
    # 1 to 15: `ErrorCode` of a 403.
    Fault(1, "password_change_required", "The password must be changed.",
          "Sign in again with `newPassword`.", http=403),
    Fault(2, "invalid_credentials", "Unknown user or wrong password.",
          "Check e-mail and password.", http=403),
    Fault(3, "password_reused", "The new password was used before.",
          "Choose a password that was not used lately.", http=403),
    Fault(4, "user_unverified", "The user is not verified yet.",
          "Follow the link in the verification mail.", http=403),
    Fault(5, "password_too_weak", "The new password breaks the rules.",
          "The rules are the answer to POST /oauth2?requirements=true.", http=403),
    Fault(6, "security_internal", "Internal error of the security service.",
          "Try again.", retriable=True, http=403),
    Fault(7, "access_denied", "The role does not allow this.",
          "Ask a user of a sufficient role.", http=403),
    Fault(8, "invalid_token", "The access token is missing or invalid.", "Sign in.", http=403),
    Fault(9, "expired_token", "The access token has expired.", "Sign in again.", http=403),
    Fault(10, "rate_limited", "Too many requests.", "Wait a minute.", retriable=True, http=403),
    Fault(11, "mfa_unknown", "Unknown multi-factor transaction.", "Sign in again.", http=403),
    Fault(12, "mfa_failed", "The multi-factor answer is wrong.", "Enter the newest code.",
          http=403),
    Fault(13, "security_unreachable", "The security service cannot be reached.", "Try again.",
          retriable=True, http=403),
    Fault(14, "refresh_refused", "The refresh token is not accepted.", "Sign in.", http=403),
    Fault(15, "account_suspended", "The account is suspended.", "Ask an administrator.",
          http=403),
    Fault(404, "not_found", "The resource does not exist.", "Check the identifier.", http=404),
    Fault(1000, "uuid_missing", "The UUID is missing.", "Name the UUID in the path."),
    Fault(1001, "serial_malformed", "The serial number is missing or malformed.",
          "A serial number has 12 hexadecimal digits."),
    Fault(1002, "internal", "Internal error. Please try again.", "Try again; the log says more.",
          retriable=True, http=500),
    Fault(1003, "bad_document", "The JSON document is not acceptable.",
          "Send an object of the documented fields and types."),
    Fault(1004, "unsupported_method", "The method or path is not supported.",
          "The API document is at /docs."),
    Fault(1006, "not_deleted", "The record could not be deleted.", "Check that it exists."),
    Fault(1008, "configuration_invalid", "The configuration is invalid.",
          "Correct what the parentheses name."),
    Fault(1009, "uuid_unknown", "The UUID is unknown.", "Check the UUID."),
    Fault(1010, "device_type_unknown", "The device type is unknown.", "Use `ap` or `switch`."),
    Fault(1011, "not_created", "The record could not be created.", "Check that it is new.",
          http=500),
    Fault(1012, "not_updated", "The record could not be updated.", "Try again.", retriable=True,
          http=500),
    Fault(1018, "parameter_invalid", "A parameter is missing or invalid.",
          "Correct what the parentheses name."),
    Fault(1019, "serial_unknown", "The serial number is unknown.", "Create the device first."),
    Fault(1020, "serial_invalid", "The serial number is invalid.",
          "A serial number has 12 hexadecimal digits."),
    Fault(1021, "serial_exists", "The serial number exists already.", "Change it with PUT."),
    Fault(1029, "websocket_only", "This endpoint speaks WebSocket only.", "Send an upgrade."),
    Fault(1030, "serial_mismatch", "The serial numbers of path and body differ.",
          "Name the same one in both."),
    Fault(1031, "command_unknown", "The command is unknown.",
          "The commands are in the API document at /docs."),
    Fault(1032, "nothing_deleted", "No records were deleted.", "Check serial number and dates."),
    Fault(1033, "device_not_connected", "The device is not connected.", "Wait until it is.",
          retriable=True),
    Fault(1034, "telemetry_endpoint", "The telemetry endpoint could not be created.",
          "Try again.", retriable=True),
    Fault(1035, "firmware_key_missing", "Device type and revision are both needed.",
          "Send both."),
    Fault(1036, "serial_and_id_missing", "Serial number and id are both needed.", "Send both."),
    Fault(1037, "user_id_missing", "The user id is missing.", "Name the user id."),
    Fault(1038, "id_not_zero", "The id must be 0 to create a record.", "POST to id 0."),
    Fault(1039, "role_unknown", "The role is unknown.", "Use one of the documented roles."),
    Fault(1040, "email_invalid", "The e-mail address is invalid.", "Correct the address."),
    Fault(1041, "password_rejected", "The password was used before.", "Choose another one."),
    Fault(1042, "ip_range_invalid", "The IP range is invalid.", "Correct the range."),
    Fault(1043, "order_invalid", "`orderBy` is invalid.",
          "The names are the answer to GET /devices?orderSpec=true; append `:a` or `:d`."),
    Fault(1044, "phone_needed", "A validated phone number is needed.", "Validate a number."),
    Fault(1045, "mfa_method_unknown", "The MFA method is unknown.",
          "Use sms, email or authenticator."),
    Fault(1046, "credentials_invalid", "The credentials are invalid.", "Check them."),
    Fault(1047, "password_weak", "The password breaks the rules.",
          "The rules are the answer to POST /oauth2?requirements=true."),
    Fault(1048, "email_pending", "The e-mail verification is pending.", "Follow the link."),
    Fault(1049, "password_change_needed", "The password must be changed.", "Change it."),
    Fault(1050, "request_not_understood", "The request is not understood.",
          "See the API document at /docs."),
    Fault(1051, "authentication_missing", "The authentication is missing.", "Sign in."),
    Fault(1052, "rights_insufficient", "The rights are insufficient.", "Ask an administrator."),
    Fault(1053, "token_expired", "The token has expired.", "Sign in."),
    Fault(1055, "authenticator_incomplete", "The authenticator set-up is not complete.",
          "Finish it first."),
    Fault(1056, "sms_not_sent", "The SMS could not be sent.", "Try again.", retriable=True),
    Fault(1057, "sms_code_wrong", "The SMS code does not match.", "Enter the newest code."),
    Fault(1061, "user_exists", "The user exists already.", "Change the user with PUT."),
    Fault(1062, "not_implemented", "This is not implemented.", "There is no way round it."),
    Fault(1070, "ip_invalid", "The IP addresses are invalid.", "Correct them."),
    Fault(1084, "sms_off", "SMS is not enabled.", "Configure a provider."),
    Fault(1085, "email_off", "E-mail is not enabled.", "Configure a mail server."),
    Fault(1086, "totp_wrong", "The TOTP code is wrong.", "Check the clock of the phone."),
    Fault(1087, "totp_index", "The TOTP index is wrong.", "Use 1, then 2."),
    Fault(1088, "totp_repeated", "The TOTP code was used already.", "Wait for the next code."),
    Fault(1089, "totp_sequence", "The TOTP sequence is wrong.", "Begin again."),
    Fault(1090, "totp_absent", "There is no TOTP session.", "Begin with GET /totp?reset=true."),
    Fault(1091, "signup_done", "The sign-up was done already.", "Sign in."),
    Fault(1092, "signup_email", "The sign-up waits for the e-mail.", "Follow the link."),
    Fault(1093, "signup_device", "The sign-up waits for the device.", "Connect the device."),
    Fault(1094, "phone_missing", "The phone number is missing.", "Add a number."),
    Fault(1095, "sms_later", "The SMS failed.", "Try later.", retriable=True),
    Fault(1096, "challenge_missing", "The challenge code is missing.", "Send the code."),
    Fault(1097, "configuration_missing", "The `configuration` element is missing.",
          "Send `configuration`."),
    Fault(1098, "models_missing", "The list of models is empty.", "Send `modelIds`."),
    Fault(1099, "default_configuration_exists", "The default configuration exists already.",
          "Change it with PUT."),
    Fault(1115, "phone_not_validated", "The phone number is not validated.", "Validate it."),
    Fault(1137, "command_failed", "The command could not be done.",
          "The parentheses say what the device answered.", retriable=True),
    Fault(1138, "radius_pool_name", "The RADIUS pool name is invalid.", "Correct it."),
    Fault(1139, "radius_strategy", "The RADIUS strategy is invalid.",
          "Use random, round_robin or weighted."),
    Fault(1140, "radius_monitor", "The RADIUS monitor method is invalid.",
          "Use none, https or radius."),
    Fault(1141, "radius_servers_missing", "The list of RADIUS servers is empty.", "Add one."),
    Fault(1142, "radius_server", "A RADIUS server entry is invalid.", "Correct it."),
    Fault(1143, "radius_weight", "A RADIUS weight is 0.", "Use a weight of 1 or more."),
    Fault(1144, "rtty_sessions", "There are too many terminal sessions.", "Close one.",
          retriable=True),
    Fault(1145, "device_busy", "The device is busy with another command.",
          "Wait for the command that the parentheses name.", retriable=True),
    Fault(1146, "signature_needed", "A signature is needed.", "Send the signature."),
    Fault(1147, "api_key_name_taken", "The API key name is taken.", "Choose another one."),
    Fault(1148, "api_keys_too_many", "There are too many API keys.", "Delete one."),
    Fault(1149, "user_must_exist", "The user must exist.", "Create the user first."),
    Fault(1150, "api_key_unknown", "The API key is unknown.", "Check the key."),
    Fault(1151, "device_restricted", "The device is restricted by regulation.",
          "There is no way round it."),
    Fault(1152, "uri_invalid", "The URI is invalid.", "Correct it."),
    Fault(1153, "script_choice", "Either `script` or `scriptId` is needed.", "Send one of them."),
    Fault(1154, "no_statistics", "There are no statistics yet.", "Wait for the first report.",
          retriable=True),
    Fault(1155, "account_read_only", "The account is suspended: read only.",
          "Ask an administrator."),
    Fault(1171, "not_for_simulated", "Simulated devices do not take this command.",
          "Use a real device."),
    Fault(1175, "default_firmware_exists", "The default firmware exists already.",
          "Change it with PUT."),
    Fault(1177, "radius_pool_type", "The RADIUS pool type is invalid.",
          "Use radsec, generic, orion or globalreach."),
    Fault(1192, "rrm_action", "The RRM action is unknown.", "Use a documented action."),
    Fault(1193, "package_scheme", "The package URL scheme is not supported.",
          "Use http or https."),
    Fault(1194, "package_download", "The package could not be downloaded.", "Check the URL.",
          retriable=True),
    Fault(1195, "package_decompression", "The package could not be decompressed.",
          "Check the package."),
)  # fmt: skip


def index_faults(faults: Iterable[Fault]) -> dict[int, Fault]:
    """Return `faults` by number. Raises ValueError if a number or slug is used twice."""
    table: dict[int, Fault] = {}
    slugs: set[str] = set()
    for fault in faults:
        if fault.number in table or fault.slug in slugs:
            raise ValueError(f"error {fault.number} ({fault.slug}) is declared twice")
        table[fault.number] = fault
        slugs.add(fault.slug)
    return table


FAULTS: Final = index_faults(_FAULTS)


class ApiError(Exception):
    """A request that is answered with a numbered error.

    `extra` is shown to the caller in parentheses, so it never holds a secret. `http` replaces
    the status that the table gives. An unknown number is taken as an internal error.
    """

    def __init__(
        self, number: int, extra: str = "", http: int | None = None, retry_after: int = 0
    ) -> None:
        """`retry_after`: seconds after which the same request may succeed; 0: not known."""
        fault = FAULTS.get(number)
        if fault is None:
            fault, extra = FAULTS[INTERNAL], extra or f"error {number}"
        super().__init__(f"{fault.number}: {fault.text}" + (f" ({extra})" if extra else ""))
        self.number = fault.number
        self.fault = fault
        self.extra = extra
        self.retry_after = retry_after
        self.http = fault.http if http is None else http

    @property
    def description(self) -> str:
        """Text of `ErrorDescription`: number, text, and the detail in parentheses."""
        return str(self)
