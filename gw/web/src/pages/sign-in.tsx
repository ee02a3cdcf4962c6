import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, keep, reason, request } from "../api.ts";
import { Brand } from "../app.tsx";
import { Button, Text } from "../ui/parts.tsx";

interface Answer {
  access_token?: string;
  refresh_token?: string;
  userMustChangePassword?: boolean;
  /** Of a second factor that is asked for. */
  uuid?: string;
  method?: string;
}

type Step =
  | { kind: "password" }
  | { kind: "change"; rules: string }
  | { kind: "code"; challenge: string; method: string }
  | { kind: "forgotten"; sent: boolean };

const WANTS_NEW_PASSWORD = 1;
const POLICY = 5;
const USED_BEFORE = 3;

/** What owsec's numbers mean to whoever signs in. */
function said(error: unknown): string {
  if (!(error instanceof ApiError)) return reason(error);
  switch (error.number) {
    case 2:
      return "The address or the password is wrong.";
    case 4:
      return "This address has to be verified first: see the mail that was sent to it.";
    case POLICY:
      return "The new password does not follow the rules.";
    case USED_BEFORE:
      return "This password was used before. Choose another one.";
    case 10:
      return "Too many attempts. Wait a minute, then try again.";
    case 11:
      return "This code has expired. Sign in again.";
    case 12:
      return "The code is wrong, or no longer valid.";
    default:
      return reason(error);
  }
}

export function SignIn({ done }: { done: () => void }) {
  const [step, setStep] = useState<Step>({ kind: "password" });
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [fresh, setFresh] = useState("");
  const [again, setAgain] = useState("");
  const [code, setCode] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);

  // each step begins at its first field
  useEffect(() => {
    form.current?.querySelector("input")?.focus();
  }, [step.kind]);

  useEffect(() => {
    document.title = "Sign in · gw console";
  }, []);

  const ask = (path: string, body: unknown) =>
    request<Answer>("POST", path, { service: "security", anonymous: true, body });

  const take = async (answer: Answer) => {
    if (answer.access_token) {
      keep({ access: answer.access_token, refresh: answer.refresh_token ?? "", user });
      done();
    } else if (answer.uuid) {
      setCode("");
      setStep({ kind: "code", challenge: answer.uuid, method: answer.method ?? "" });
    } else if (answer.userMustChangePassword) await wantNew();
  };

  const wantNew = async () => {
    const rules = await request<{ passwordPattern?: string }>("POST", "/oauth2?requirements=true", {
      service: "security",
      anonymous: true,
      body: {},
    }).catch(() => null);
    setStep({ kind: "change", rules: rules?.passwordPattern ?? "" });
  };

  const submit = async (event: Event) => {
    event.preventDefault();
    setError("");
    if (step.kind === "change" && fresh !== again) {
      setError("The two new passwords are not the same.");
      return;
    }
    setBusy(true);
    try {
      if (step.kind === "password") await take(await ask("/oauth2", { userId: user, password }));
      else if (step.kind === "change")
        await take(await ask("/oauth2", { userId: user, password, newPassword: fresh }));
      else if (step.kind === "code")
        await take(
          await ask("/oauth2?completeMFAChallenge=true", {
            uuid: step.challenge,
            answer: code.trim(),
          }),
        );
      else {
        await ask("/oauth2?forgotPassword=true", { userId: user });
        setStep({ kind: "forgotten", sent: true });
      }
    } catch (failed) {
      if (
        failed instanceof ApiError &&
        failed.number === WANTS_NEW_PASSWORD &&
        step.kind === "password"
      )
        await wantNew();
      else setError(said(failed));
    } finally {
      setBusy(false);
    }
  };

  const back = () => {
    setError("");
    setStep({ kind: "password" });
  };

  const titles = {
    password: "Sign in",
    change: "Choose a new password",
    code: "Enter your code",
    forgotten: "Reset your password",
  };

  return (
    <main class="sign-in">
      <form ref={form} class="card" onSubmit={submit}>
        <p class="brand">
          <Brand />
        </p>
        <h1>{titles[step.kind]}</h1>
        {step.kind === "password" && (
          <>
            <Text
              label="E-mail address"
              type="email"
              value={user}
              set={setUser}
              autocomplete="username"
              required
            />
            <Text
              label="Password"
              type="password"
              value={password}
              set={setPassword}
              autocomplete="current-password"
              required
            />
          </>
        )}
        {step.kind === "change" && (
          <>
            <p class="note">The password of {user} has to be changed before the first use.</p>
            <Text
              label="New password"
              type="password"
              value={fresh}
              set={setFresh}
              autocomplete="new-password"
              required
              hint={
                step.rules ? (
                  <>
                    At least 8 characters, with upper and lower case letters, a digit and a special
                    character.
                  </>
                ) : undefined
              }
            />
            <Text
              label="New password again"
              type="password"
              value={again}
              set={setAgain}
              autocomplete="new-password"
              required
            />
          </>
        )}
        {step.kind === "code" && (
          <>
            <p class="note">
              {step.method === "email"
                ? "It was mailed to you."
                : "It is in your authenticator app."}
            </p>
            <Text
              label="Six digits"
              inputMode="numeric"
              autocomplete="one-time-code"
              value={code}
              set={setCode}
              maxLength={8}
              required
            />
          </>
        )}
        {step.kind === "forgotten" &&
          (step.sent ? (
            <p class="note">
              If there is a user of this address, a mail with a link is on its way.
            </p>
          ) : (
            <Text
              label="E-mail address"
              type="email"
              value={user}
              set={setUser}
              autocomplete="username"
              required
            />
          ))}
        {error && (
          <p class="error" role="alert">
            {error}
          </p>
        )}
        {!(step.kind === "forgotten" && step.sent) && (
          <Button kind="primary" type="submit" busy={busy}>
            {step.kind === "change"
              ? "Change and sign in"
              : step.kind === "forgotten"
                ? "Send the link"
                : "Sign in"}
          </Button>
        )}
        {step.kind === "password" ? (
          <Button
            kind="quiet"
            onClick={() => {
              setError("");
              setStep({ kind: "forgotten", sent: false });
            }}
          >
            Forgotten your password?
          </Button>
        ) : (
          <Button kind="quiet" onClick={back}>
            Back
          </Button>
        )}
      </form>
    </main>
  );
}
