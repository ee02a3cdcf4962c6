import { parse } from "./json/document.ts";

/** What the gateway said instead of an answer. */
export class ApiError extends Error {
  /** HTTP status; 0: there was no answer at all. */
  readonly status: number;
  /** Number of the error, such as 1008; 0: none. */
  readonly number: number;
  /** The body, for answers that say more than a text. */
  readonly body: unknown;

  constructor(status: number, number: number, text: string, body: unknown) {
    super(text);
    this.status = status;
    this.number = number;
    this.body = body;
  }
}

export type Service = "gateway" | "security";

export interface Call {
  service?: Service;
  body?: unknown;
  /** A body that is JSON already, so that numbers keep their spelling. */
  text?: string;
  signal?: AbortSignal | undefined;
  /** Without the token; for signing in. */
  anonymous?: boolean;
}

export interface Tokens {
  access: string;
  refresh: string;
  user: string;
}

const STORE = "gw-session";
let signInBase = "/console/security";
let tokens: Tokens | null = read();
let refreshing: Promise<boolean> | null = null;
let whenSignedOut: () => void = () => {};

function read(): Tokens | null {
  try {
    return JSON.parse(sessionStorage.getItem(STORE) ?? "null") as Tokens | null;
  } catch {
    return null;
  }
}

/** Learns from the gateway where to sign in. */
export async function configure(): Promise<void> {
  const answer = await fetch("/console/config.json");
  if (answer.ok) signInBase = ((await answer.json()) as { signIn: string }).signIn;
}

/** Has `listener` called when the session is over. */
export function onSignedOut(listener: () => void): void {
  whenSignedOut = listener;
}

export function session(): Tokens | null {
  return tokens;
}

/** Keeps the session for this tab; null: it is over. */
export function keep(given: Tokens | null): void {
  tokens = given;
  if (given) sessionStorage.setItem(STORE, JSON.stringify(given));
  else sessionStorage.removeItem(STORE);
}

function url(path: string, service: Service): string {
  return `${service === "security" ? signInBase : ""}/api/v1${path}`;
}

async function send(method: string, path: string, call: Call): Promise<Response> {
  const headers: Record<string, string> = {};
  if (tokens && !call.anonymous) headers.Authorization = `Bearer ${tokens.access}`;
  const text = call.text ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
  if (text !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(url(path, call.service ?? "gateway"), {
      method,
      headers,
      body: text ?? null,
      signal: call.signal ?? null,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, 0, "The gateway does not answer. It may be restarting.", null);
  }
}

const EXPIRED = new Set([8, 9]);

/** Sends a request and returns the text of the answer. Throws ApiError. */
export async function requestText(method: string, path: string, call: Call = {}): Promise<string> {
  let answer = await send(method, path, call);
  let text = await answer.text();
  if (!answer.ok && !call.anonymous) {
    const failed = failure(answer.status, text);
    if (EXPIRED.has(failed.number) || answer.status === 401) {
      if (!(await refresh())) {
        keep(null);
        whenSignedOut();
        throw failed;
      }
      answer = await send(method, path, call);
      text = await answer.text();
    }
  }
  if (!answer.ok) throw failure(answer.status, text);
  return text;
}

/** Sends a request and returns the JSON answer. Throws ApiError. */
export async function request<T>(method: string, path: string, call: Call = {}): Promise<T> {
  const text = await requestText(method, path, call);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

export function get<T>(path: string, call: Call = {}): Promise<T> {
  return request<T>("GET", path, call);
}

/** One refresh at a time: the others wait for it. */
function refresh(): Promise<boolean> {
  refreshing ??= renew().finally(() => {
    refreshing = null;
  });
  return refreshing;
}

async function renew(): Promise<boolean> {
  const before = tokens;
  if (!before?.refresh) return false;
  try {
    const sent = await send("POST", "/oauth2?grant_type=refresh_token", {
      service: "security",
      body: { userId: before.user, refreshToken: before.refresh },
    });
    if (!sent.ok) return false;
    const answer = (await sent.json()) as { access_token: string; refresh_token?: string };
    if (!answer.access_token) return false;
    keep({
      ...before,
      access: answer.access_token,
      refresh: answer.refresh_token || before.refresh,
    });
    return true;
  } catch {
    return false;
  }
}

function failure(status: number, text: string): ApiError {
  let body: unknown = null;
  try {
    body = JSON.parse(text);
  } catch {
    return new ApiError(status, 0, `The gateway answered ${status}.`, text);
  }
  const found = body as { ErrorCode?: number; ErrorDetails?: string; ErrorDescription?: string };
  const described = found.ErrorDescription ?? `The gateway answered ${status}.`;
  const numbered = /^(\d+): (.*)$/s.exec(described);
  const number = status === 403 ? (found.ErrorCode ?? 0) : Number(numbered?.[1] ?? 0);
  const details = status === 404 ? "There is nothing of that name." : "";
  return new ApiError(status, number, details || numbered?.[2] || described, body);
}

/** Reads a member of a JSON answer to the letter, so that its numbers keep their spelling. */
export function member(text: string, name: string): string {
  const root = parse(text);
  const found = root.kind === "object" ? root.members.find((one) => one.name === name) : undefined;
  return found ? text.slice(found.value.start, found.value.end) : "";
}

/** Says in a sentence why something failed. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
