/** Documents of the REST API, as far as the console reads them. */

export type ConfigurationState =
  | "in_step"
  | "pending"
  | "drifted"
  | "rejected"
  | "held"
  | "unmanaged"
  | "unknown";

export interface FleetDevice {
  serialNumber: string;
  deviceType: string;
  compatible: string;
  firmware: string;
  venue: string;
  entity: string;
  simulated: boolean;
  quarantined: boolean;
  connected: boolean;
  lastContact: number;
  sanity: number;
  certificateExpiryDate: number;
  UUID: number;
  appliedUUID: number;
  configurationState: ConfigurationState;
  hold: string;
  rejectedText: string;
  rejectedAt: number;
}

export interface FleetPage {
  devices: FleetDevice[];
  next: string;
  count?: number;
}

export interface Share {
  value: string;
  count: number;
}

export interface FleetSummary {
  at: number;
  devices: number;
  connected: number;
  connecting: number;
  states: Record<ConfigurationState, number>;
  firmwares: Share[];
  types: Share[];
  platforms: Share[];
  otherFirmwares: number;
  otherTypes: number;
  certificatesExpiring: number;
}

export interface ProcessFacts {
  name: string;
  starts: number;
  connections: number;
  handshakesInFlight: number;
  handshakes: number;
  messagesReceived: number;
  messagesSent: number;
  bytesReceived: number;
  bytesSent: number;
}

export interface NodeFacts {
  name: string;
  version: string;
  started: number;
  now: number;
  devicesConnected: number;
  commandsOpen: number;
  certificateExpiryDate: number;
  store: string;
  totals: {
    connects: number;
    messagesReceived: number;
    messagesSent: number;
    bytesReceived: number;
    bytesSent: number;
    handshakes: number;
    handshakeFailures: number;
    configurationsSent: number;
    configurationsRejected: number;
    recordsStored: number;
    storeErrors: number;
    requests: number;
  };
  processes: ProcessFacts[];
}

export interface Rejection {
  parameter?: unknown;
  reason?: string;
  substitution?: unknown;
}

export interface Device {
  serialNumber: string;
  deviceType: string;
  blackListed: boolean;
  macAddress: string;
  manufacturer: string;
  UUID: number;
  configuration: unknown;
  notes: { created: number; createdBy: string; note: string }[];
  createdTimestamp: number;
  lastConfigurationChange: number;
  lastConfigurationDownload: number;
  lastFWUpdate: number;
  owner: string;
  location: string;
  venue: string;
  entity: string;
  subscriber: string;
  firmware: string;
  compatible: string;
  locale: string;
  restrictedDevice: boolean;
  pendingUUID: number;
  pendingConfiguration: string;
  simulated: boolean;
  lastRecordedContact: number;
  certificateExpiryDate: number;
  connectReason: string;
  configurationHash: string;
  appliedUUID: number;
  appliedHash: string;
  rejectedUUID: number;
  rejections: (Rejection | string)[];
  rejectedText: string;
  configurationState: ConfigurationState;
  hold: string;
}

export interface Connection {
  ipAddress: string;
  connected: boolean;
  started: number;
  lastContact: number | string;
  txBytes: number;
  rxBytes: number;
  messageCount: number;
  certificateExpiryDate: number;
  certificateIssuerName: string;
  verifiedCertificate: string;
  connectReason: string;
  uptime: number;
  sanity: number;
  memoryUsed: number;
  load: number;
  temperature: number;
  associations_2G: number;
  associations_5G: number;
  associations_6G: number;
}

export interface HistoryEntry {
  id: number;
  UUID: number;
  hash: string;
  recorded: number;
  author: string;
  through: string;
}

export interface Command {
  UUID: string;
  serialNumber: string;
  command: string;
  status: string;
  submittedBy: string;
  submitted: number;
  executed: number;
  completed: number;
  when: number;
  errorCode: number;
  errorText: string;
  details: unknown;
  results: unknown;
  waitingForFile: number;
  attachFile: number;
  executionTime: number;
  attempts: number;
  answered: number;
  warnings?: Problem[];
}

export interface Problem {
  context: string[];
  description: string;
  path: string;
}

export interface Validity {
  valid?: boolean;
  error?: string;
  errors?: Problem[];
  errorsOmitted?: number;
  warnings?: Problem[];
  unchecked?: string;
  schema?: string;
  wouldChange?: boolean;
  changes?: { added: string[]; removed: string[]; changed: string[]; omitted?: number };
}

export interface LogLine {
  log: string;
  severity: number;
  recorded: number;
  logType: number;
}

export interface DeviceEvent {
  recorded: number;
  type: string;
  data: unknown;
}

export interface StateEntry {
  UUID: number;
  recorded: number;
  data: unknown;
}

export interface HealthEntry {
  sanity: number;
  recorded: number;
  values: unknown;
}

export interface Blacklisted {
  serialNumber: string;
  author: string;
  reason: string;
  created: number;
}

export interface DefaultConfiguration {
  name: string;
  modelIds: string[];
  description: string;
  configuration: unknown;
  created: number;
  lastModified: number;
  platform: string;
}

export interface DefaultFirmware {
  deviceType: string;
  description: string;
  uri: string;
  revision: string;
  imageCreationDate: number;
  lastModified: number;
  minimumRevision: string;
}

export interface Script {
  id: string;
  name: string;
  description: string;
  uri: string;
  content: string;
  version: string;
  type: string;
  author: string;
  restricted: string[];
  deferred: boolean;
  timeout: number;
  defaultUploadURI: string;
  created: number;
  modified: number;
}

export interface User {
  id: string;
  name: string;
  email: string;
  description: string;
  userRole: string;
  suspended: boolean;
  changePassword: boolean;
  lastLogin: number;
  creationDate: number;
  userTypeProprietaryInfo: { mfa: { enabled: boolean; method: string } };
}

export interface ApiKey {
  id: string;
  userUuid: string;
  name: string;
  apiKey: string;
  description: string;
  expiresOn: number;
  lastUse: number;
  rights?: { acls?: { service: string; access: string }[] };
}

export interface AuditEntry {
  id: number;
  recorded: number;
  author: string;
  role: string;
  via: string;
  address: string;
  request: string;
  operation: string;
  target: string;
  result: number;
  detail: string;
}
