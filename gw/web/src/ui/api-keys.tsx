import { useState } from "preact/hooks";
import { get, reason, request } from "../api.ts";
import { DAY, date } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import type { ApiKey } from "../types.ts";
import { Ago, Badge, Button, Copy, Empty, Failed, Loading, Select, Table, Text } from "./parts.tsx";
import { tell } from "./toast.tsx";

const LIVES: [string, string][] = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "a year"],
];
const RIGHTS: [string, string][] = [
  ["all", "All that its owner may"],
  ["read", "Reading only"],
];

/** The API keys of a user: made, told once, and revoked. */
export function ApiKeys({ owner }: { owner: string }) {
  const keys = useLoaded(
    `keys ${owner}`,
    async (signal) =>
      (await get<{ apiKeys: ApiKey[] }>(`/apiKey/${owner}`, { service: "security", signal }))
        .apiKeys,
  );
  const [made, setMade] = useState<ApiKey>();
  const [revoking, revoke] = useState("");
  const [error, setError] = useState("");

  const remove = async (key: ApiKey) => {
    setError("");
    try {
      await request("DELETE", `/apiKey/${owner}?keyUuid=${key.id}`, { service: "security" });
      tell(`The key ${key.name} is revoked`);
      revoke("");
      if (made?.id === key.id) setMade(undefined);
      keys.reload();
    } catch (failed) {
      setError(reason(failed));
    }
  };

  return (
    <div class="stack">
      {keys.error && (
        <Failed what="The keys could not be read." error={keys.error} retry={keys.reload} />
      )}
      {keys.loading && <Loading />}
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {made && (
        <div class="outcome good" role="status">
          <strong>This is the key. It is shown only now.</strong>
          <span class="secret">
            <code>{made.apiKey}</code> <Copy text={made.apiKey} label="Copy the key" />
          </span>
        </div>
      )}
      {keys.value?.length === 0 && (
        <Empty icon="key" title="No API key">
          Programs use a key instead of a password, as X-API-KEY.
        </Empty>
      )}
      {keys.value && keys.value.length > 0 && (
        <Table
          label="API keys"
          rows={keys.value}
          rowKey={(one) => one.id}
          columns={[
            {
              head: "Key",
              cell: (one) => (
                <>
                  <span class="strong">{one.name}</span>
                  <small class="mono">{one.apiKey} …</small>
                </>
              ),
            },
            {
              head: "Rights",
              cell: (one) =>
                one.rights?.acls?.length
                  ? one.rights.acls.map((acl) => `${acl.service}: ${acl.access}`).join(", ")
                  : "all of its owner",
            },
            {
              head: "Ends",
              cell: (one) =>
                one.expiresOn * 1000 < Date.now() ? (
                  <Badge tone="bad">has ended</Badge>
                ) : (
                  date(one.expiresOn)
                ),
            },
            { head: "Last use", cell: (one) => <Ago at={one.lastUse} /> },
            {
              head: "Actions",
              cell: (one) =>
                revoking === one.id ? (
                  <span class="row-actions">
                    <Button kind="danger" onClick={() => remove(one)}>
                      Revoke now
                    </Button>
                    <Button kind="quiet" onClick={() => revoke("")}>
                      Keep
                    </Button>
                  </span>
                ) : (
                  <Button kind="quiet" icon="block" onClick={() => revoke(one.id)}>
                    Revoke
                  </Button>
                ),
            },
          ]}
        />
      )}
      <NewKey
        owner={owner}
        done={(key) => {
          setMade(key);
          keys.reload();
        }}
      />
    </div>
  );
}

function NewKey({ owner, done }: { owner: string; done: (key: ApiKey) => void }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState("90");
  const [rights, setRights] = useState("all");
  const [error, setError] = useState("");
  const make = async (event: Event) => {
    event.preventDefault();
    setError("");
    try {
      const acls = rights === "read" ? [{ service: "*", access: "read" }] : [];
      const key = await request<ApiKey>("POST", `/apiKey/${owner}`, {
        service: "security",
        body: {
          name,
          description: "",
          expiresOn: Math.floor(Date.now() / 1000) + Number(days) * DAY,
          rights: { acls },
        },
      });
      setName("");
      done(key);
    } catch (failed) {
      setError(reason(failed));
    }
  };
  return (
    <form class="new-key" onSubmit={make}>
      <h3>New key</h3>
      <div class="row">
        <Text
          label="Name"
          value={name}
          set={setName}
          required
          pattern="[A-Za-z0-9]{1,64}"
          hint="Letters and digits."
        />
        <Select label="Ends in" value={days} set={setDays} options={LIVES} />
        <Select label="Rights" value={rights} set={setRights} options={RIGHTS} />
      </div>
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      <Button kind="primary" icon="plus" type="submit">
        Make a key
      </Button>
    </form>
  );
}
