import { useEffect, useState } from "preact/hooks";
import { reason, request, requestText } from "../api.ts";
import { moment } from "../format.ts";
import { useSession } from "../session.tsx";
import { setTheme, type Theme, theme } from "../theme.ts";
import { ApiKeys } from "../ui/api-keys.tsx";
import { Badge, Button, Card, Dialog, Facts, Page, Select, Text } from "../ui/parts.tsx";
import { tell } from "../ui/toast.tsx";

export function AccountPage() {
  const { user, reload } = useSession();
  const [chosen, choose] = useState<Theme>(theme());
  const [setting, setUp] = useState(false);
  const mfa = user.userTypeProprietaryInfo.mfa;
  const off = async () => {
    try {
      await request("PUT", `/user/${user.id}`, {
        service: "security",
        body: { userTypeProprietaryInfo: { mfa: { enabled: false, method: "" } } },
      });
      tell("The second factor is off");
      reload();
    } catch (failed) {
      tell(reason(failed), "bad");
    }
  };
  return (
    <Page title="Your account" note={user.email}>
      <div class="grid two">
        <Card title="You">
          <Facts
            facts={[
              ["Name", user.name],
              ["Role", user.userRole],
              ["Last sign-in", moment(user.lastLogin)],
            ]}
          />
          <Select
            label="Colours"
            value={chosen}
            set={(value) => {
              setTheme(value as Theme);
              choose(value as Theme);
            }}
            options={[
              ["auto", "As the system"],
              ["light", "Light"],
              ["dark", "Dark"],
            ]}
          />
        </Card>
        <Card
          title="Second factor"
          note="A code of an app on your phone, asked for after the password."
        >
          <p>
            {mfa.enabled ? (
              <Badge tone="good" icon="check">
                On, by {mfa.method}
              </Badge>
            ) : (
              <Badge tone="warn" icon="warning">
                Off
              </Badge>
            )}
          </p>
          {mfa.enabled ? (
            <Button onClick={off}>Turn it off</Button>
          ) : (
            <Button kind="primary" icon="key" onClick={() => setUp(true)}>
              Set up an app
            </Button>
          )}
        </Card>
        <Card title="Password">
          <ChangePassword id={user.id} />
        </Card>
      </div>
      {user.userRole === "root" && (
        <Card title="API keys" note="For programs that work in your name.">
          <ApiKeys owner={user.id} />
        </Card>
      )}
      {setting && <SetUp id={user.id} close={() => setUp(false)} done={reload} />}
    </Page>
  );
}

function ChangePassword({ id }: { id: string }) {
  const [fresh, setFresh] = useState("");
  const [again, setAgain] = useState("");
  const [error, setError] = useState("");
  const save = async (event: Event) => {
    event.preventDefault();
    if (fresh !== again) {
      setError("The two are not the same.");
      return;
    }
    setError("");
    try {
      await request("PUT", `/user/${id}`, {
        service: "security",
        body: { currentPassword: fresh },
      });
      setFresh("");
      setAgain("");
      tell("The password is changed; your other sessions have ended");
    } catch (failed) {
      setError(reason(failed));
    }
  };
  return (
    <form class="stack" onSubmit={save}>
      <Text
        label="New password"
        type="password"
        autocomplete="new-password"
        value={fresh}
        set={setFresh}
        required
      />
      <Text
        label="New password again"
        type="password"
        autocomplete="new-password"
        value={again}
        set={setAgain}
        required
        error={error || undefined}
      />
      <Button type="submit">Change the password</Button>
    </form>
  );
}

/** An authenticator app: its image is scanned, then two codes in a row are proven. */
function SetUp({ id, close, done }: { id: string; close: () => void; done: () => void }) {
  const [image, setImage] = useState("");
  const [step, setStep] = useState<1 | 2>(1);
  const [code, setCode] = useState("");
  const [error, setError] = useState("");
  useEffect(() => {
    let made = "";
    requestText("GET", "/totp?reset=true", { service: "security" })
      .then((svg) => {
        made = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
        setImage(made);
      })
      .catch((failed) => setError(reason(failed)));
    return () => URL.revokeObjectURL(made);
  }, []);
  const prove = async (event: Event) => {
    event.preventDefault();
    setError("");
    try {
      await request("PUT", `/totp?index=${step}&value=${encodeURIComponent(code.trim())}`, {
        service: "security",
      });
      setCode("");
      if (step === 1) {
        setStep(2);
        return;
      }
      await request("PUT", `/user/${id}`, {
        service: "security",
        body: { userTypeProprietaryInfo: { mfa: { enabled: true, method: "authenticator" } } },
      });
      tell("The second factor is on");
      done();
      close();
    } catch (failed) {
      setError(reason(failed));
    }
  };
  return (
    <Dialog title="Set up an authenticator app" close={close}>
      <form onSubmit={prove}>
        <div class="dialog-body">
          <p>
            {step === 1
              ? "Scan this image with the app, then enter the code that it shows."
              : "Now enter the next code, as soon as the app shows another one."}
          </p>
          {image && step === 1 && (
            <img class="qr" src={image} alt="QR code for an authenticator app" />
          )}
          <Text
            label={step === 1 ? "First code" : "Next code"}
            inputMode="numeric"
            autocomplete="one-time-code"
            value={code}
            set={setCode}
            required
            maxLength={6}
            error={error || undefined}
          />
        </div>
        <footer>
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit">
            {step === 1 ? "Next" : "Turn it on"}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
