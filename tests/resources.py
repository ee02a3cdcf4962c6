"""What the resources of the REST API look like to clients of owgw and owsec.

Names, types and nesting are those of northbound.md 2.7 and 4, and of security.md; embedded
documents are objects, never texts.
"""

from __future__ import annotations

from shapes import count, filled, moment, moment_or_never, serial

NOTE = {"created": moment, "createdBy": str, "note": str}
TAG = {"tag": str, "value": str}
NUMBER_TAG = {"tag": filled, "value": count}

RESTRICTIONS = {
    "dfs": bool, "ssh": bool, "rtty": bool, "tty": bool, "developer": bool, "upgrade": bool,
    "commands": bool, "country": [str], "key_info": {"vendor": str, "algo": str},
}  # fmt: skip
DEVICE = {
    "serialNumber": serial, "deviceType": lambda v: v in ("ap", "switch"), "blackListed": bool,
    "macAddress": str, "manufacturer": str, "UUID": int, "configuration": dict, "notes": [NOTE],
    "createdTimestamp": moment, "lastConfigurationChange": moment_or_never,
    "lastConfigurationDownload": moment_or_never, "lastFWUpdate": moment_or_never, "owner": str,
    "location": str, "venue": str, "firmware": str, "compatible": str, "fwUpdatePolicy": str,
    "devicePassword": str, "subscriber": str, "entity": str, "modified": moment_or_never,
    "locale": str, "restrictedDevice": bool, "pendingConfiguration": str,
    "pendingConfigurationCmd": str, "restrictionDetails": RESTRICTIONS, "pendingUUID": int,
    "simulated": bool, "lastRecordedContact": moment_or_never, "certificateExpiryDate": count,
    "connectReason": str,
}  # fmt: skip
CERTIFICATES = ("NO_CERTIFICATE", "VALID_CERTIFICATE", "MISMATCH_SERIAL", "VERIFIED", "SIMULATED")
CONNECTION = {
    "ipAddress": str, "txBytes": count, "rxBytes": count, "messageCount": count, "UUID": int,
    "connected": bool, "firmware": str, "lastContact": (moment, lambda v: v == ""),
    "associations_2G": count, "associations_5G": count, "associations_6G": count,
    "webSocketClients": count, "websocketPackets": count, "kafkaClients": count,
    "kafkaPackets": count, "locale": str, "started": moment_or_never, "sessionId": int,
    "connectionCompletionTime": float, "totalConnectionTime": count,
    "certificateExpiryDate": count, "certificateIssuerName": str, "connectReason": str,
    "uptime": count, "compatible": str, "hasRADIUSSessions": (int, bool), "hasGPS": bool,
    "sanity": count, "memoryUsed": float, "load": float, "temperature": float,
    "verifiedCertificate": lambda v: v in CERTIFICATES,
}  # fmt: skip
DEVICE_WITH_STATUS = DEVICE | CONNECTION
COMMAND = {
    "UUID": filled, "serialNumber": serial, "command": filled,
    "status": lambda v: v in ("pending", "executed", "completed", "timedout", "failed", "expired",
                              "executing"),
    "submittedBy": str, "submitted": moment, "executed": moment_or_never,
    "completed": moment_or_never, "when": moment_or_never, "lastTry": moment_or_never,
    "errorCode": int, "errorText": str, "details": dict, "results": dict, "custom": int,
    "waitingForFile": lambda v: v in (0, 1), "attachFile": moment_or_never,
    "executionTime": float, "deferred": bool,
}  # fmt: skip
LOG = {"log": str, "severity": int, "recorded": moment, "logType": int, "data": dict, "UUID": int}
HEALTHCHECK = {"UUID": int, "sanity": count, "recorded": moment, "values": dict}
STATISTICS = {"UUID": int, "recorded": moment, "data": dict}
CAPABILITIES = {"capabilities": dict, "firstUpdate": moment, "lastUpdate": moment,
                "serialNumber": serial}  # fmt: skip
DEFAULT_CONFIGURATION = {
    "name": filled, "modelIds": [str], "description": str, "configuration": dict,
    "created": moment, "lastModified": moment, "platform": str,
}  # fmt: skip
DEFAULT_FIRMWARE = {
    "deviceType": filled, "description": str, "uri": str, "revision": str,
    "imageCreationDate": count, "created": moment, "lastModified": moment,
}  # fmt: skip
SCRIPT = {
    "id": filled, "name": filled, "description": str, "uri": str, "content": str, "version": str,
    "type": lambda v: v in ("shell", "bundle"), "created": moment, "modified": moment,
    "author": filled, "restricted": [str], "deferred": bool, "timeout": count,
    "defaultUploadURI": str,
}  # fmt: skip
BLACKLISTED = {"serialNumber": serial, "author": filled, "reason": str, "created": moment}
RTTY_SESSION = {
    "serialNumber": serial, "server": filled, "port": count, "token": filled, "timeout": count,
    "connectionId": filled, "commandUUID": filled, "started": moment, "viewport": count,
    "password": str,
}  # fmt: skip
TELEMETRY_STATUS = {
    "running": bool, "interval": count, "websocketTimer": count, "kafkaTimer": count,
    "websocketClients": count, "kafkaClients": count, "websocketPackets": count,
    "kafkaPackets": count,
}  # fmt: skip
DASHBOARD_LISTS = (
    "commands", "upTimes", "lastContact", "memoryUsed", "load1", "load5", "load15", "vendors",
    "status", "deviceType", "healths", "certificates", "associations",
)  # fmt: skip
DASHBOARD = {name: [NUMBER_TAG] for name in DASHBOARD_LISTS} | {
    "snapshot": moment, "numberOfDevices": count,
}  # fmt: skip
SYSTEM_INFO = {
    "version": filled, "uptime": count, "start": moment, "os": filled, "processors": count,
    "hostname": filled, "UI": str, "certificates": [{"filename": filled, "expiresOn": moment}],
}  # fmt: skip
RESOURCES = dict.fromkeys(
    ("numberOfFileDescriptors", "currRealMem", "peakRealMem", "currVirtMem", "peakVirtMem"), count
)
SUCCESS = {"Code": lambda v: v == 0, "Operation": filled, "Details": str}
ERROR = {"ErrorCode": int, "ErrorDetails": filled, "ErrorDescription": filled}

TOKEN = {
    "access_token": filled, "refresh_token": filled, "token_type": lambda v: v == "Bearer",
    "expires_in": count, "idle_timeout": count, "created": moment, "username": str,
    "userMustChangePassword": bool, "errorCode": lambda v: v == 0, "lastRefresh": count,
    "aclTemplate": dict.fromkeys(
        ("Read", "ReadWrite", "ReadWriteCreate", "Delete", "PortalLogin"), bool
    ),
}  # fmt: skip
MFA_CHALLENGE = {"uuid": filled, "created": moment, "question": lambda v: v == "mfa challenge",
                 "method": lambda v: v in ("sms", "email", "authenticator")}  # fmt: skip
ROLES = ("root", "admin", "subscriber", "partner", "csr", "system", "installer", "noc",
         "accounting")  # fmt: skip
USER = {
    "id": filled, "name": str, "description": str, "avatar": str, "email": filled,
    "validated": bool, "validationEmail": str, "validationDate": count, "creationDate": count,
    "validationURI": str, "changePassword": bool, "lastLogin": moment_or_never,
    "currentLoginURI": str, "lastPasswordChange": moment_or_never, "lastEmailCheck": count,
    "waitingForEmailCheck": bool, "locale": str, "notes": [NOTE], "location": str, "owner": str,
    "suspended": bool, "blackListed": bool, "userRole": lambda v: v in ROLES,
    "userTypeProprietaryInfo": {
        "mobiles": [{"number": str, "verified": bool, "primary": bool}],
        "mfa": {"enabled": bool, "method": str},
        "authenticatorSecret": str,
    },
    "securityPolicy": str, "securityPolicyChange": count, "currentPassword": lambda v: v == "",
    "lastPasswords": lambda v: v == [], "oauthType": str, "oauthUserInfo": str,
    "modified": moment_or_never, "signingUp": str,
}  # fmt: skip
API_KEY = {
    "id": filled, "userUuid": filled, "name": filled, "apiKey": str, "salt": lambda v: v == "",
    "description": str, "expiresOn": moment, "rights": {"acls": list}, "lastUse": count,
}  # fmt: skip
ENDPOINT = {"type": filled, "id": int, "vendor": lambda v: v == "OpenWiFi",
            "uri": lambda v: v.startswith("https://") and not v.endswith("/"),
            "authenticationType": lambda v: v == "internal_v1"}  # fmt: skip
