import { useState } from "preact/hooks";
import { get, request } from "../api.ts";
import { date, moment } from "../format.ts";
import { useLoaded } from "../hooks.ts";
import { useSession } from "../session.tsx";
import type { User } from "../types.ts";
import { ApiKeys } from "../ui/api-keys.tsx";
import {
  Badge,
  Button,
  Check,
  Confirm,
  Dialog,
  Failed,
  Loading,
  Page,
  Select,
  Table,
  Text,
} from "../ui/parts.tsx";
import { tell } from "../ui/toast.tsx";

const ROLES: [string, string][] = [
  "root",
  "admin",
  "partner",
  "csr",
  "system",
  "installer",
  "noc",
  "accounting",
].map((one) => [one, one]);

export function UsersPage() {
  const { user } = useSession();
  const list = useLoaded(
    "users",
    async (signal) =>
      (await get<{ users: User[] }>("/users?limit=500", { service: "security", signal })).users,
  );
  const [editing, edit] = useState<User | "new">();
  const [removing, remove] = useState<User>();
  const [keys, showKeys] = useState<User>();
  return (
    <Page
      title="Users"
      note="Who may sign in, and as what."
      actions={
        <Button kind="primary" icon="plus" onClick={() => edit("new")}>
          New user
        </Button>
      }
    >
      {list.error && (
        <Failed what="The users could not be read." error={list.error} retry={list.reload} />
      )}
      {list.loading && <Loading />}
      {list.value && (
        <Table
          label="Users"
          rows={list.value}
          rowKey={(one) => one.id}
          columns={[
            {
              head: "User",
              cell: (one) => (
                <>
                  <span class="strong">{one.name}</span>
                  <small>{one.email}</small>
                </>
              ),
            },
            { head: "Role", cell: (one) => <Badge tone="plain">{one.userRole}</Badge> },
            {
              head: "State",
              cell: (one) =>
                one.suspended ? (
                  <Badge tone="bad" icon="pause">
                    Suspended
                  </Badge>
                ) : one.changePassword ? (
                  <Badge tone="warn" icon="key">
                    Must change the password
                  </Badge>
                ) : (
                  <Badge tone="good" icon="check">
                    Active
                  </Badge>
                ),
            },
            {
              head: "Second factor",
              cell: (one) =>
                one.userTypeProprietaryInfo.mfa.enabled
                  ? one.userTypeProprietaryInfo.mfa.method
                  : "off",
            },
            {
              head: "Last sign-in",
              cell: (one) => (one.lastLogin ? moment(one.lastLogin) : "never"),
            },
            {
              head: "Actions",
              cell: (one) => (
                <span class="row-actions">
                  <Button kind="quiet" icon="edit" onClick={() => edit(one)}>
                    Edit
                  </Button>
                  {(user.userRole === "root" || user.id === one.id) && (
                    <Button kind="quiet" icon="key" onClick={() => showKeys(one)}>
                      API keys
                    </Button>
                  )}
                  {one.id !== user.id && (
                    <Button
                      kind="quiet"
                      icon="trash"
                      aria-label={`Delete ${one.email}`}
                      onClick={() => remove(one)}
                    />
                  )}
                </span>
              ),
            },
          ]}
        />
      )}
      {editing && (
        <Editor
          known={editing === "new" ? undefined : editing}
          close={() => edit(undefined)}
          done={list.reload}
        />
      )}
      {keys && (
        <Dialog title={`API keys of ${keys.name}`} close={() => showKeys(undefined)} wide>
          <div class="dialog-body">
            <ApiKeys owner={keys.id} />
          </div>
        </Dialog>
      )}
      {removing && (
        <Confirm
          title={`Delete ${removing.email}?`}
          action="Delete the user"
          danger
          close={() => remove(undefined)}
          run={async () => {
            await request("DELETE", `/user/${removing.id}`, { service: "security" });
            tell(`${removing.email} is deleted`);
            list.reload();
          }}
        >
          <p>
            The sessions and API keys of {removing.name}, who joined on{" "}
            {date(removing.creationDate)}, end at once.
          </p>
        </Confirm>
      )}
    </Page>
  );
}

function Editor({
  known,
  close,
  done,
}: {
  known: User | undefined;
  close: () => void;
  done: () => void;
}) {
  const [email, setEmail] = useState(known?.email ?? "");
  const [name, setName] = useState(known?.name ?? "");
  const [role, setRole] = useState(known?.userRole ?? "noc");
  const [password, setPassword] = useState("");
  const [change, setChange] = useState(known?.changePassword ?? true);
  const [suspended, setSuspended] = useState(known?.suspended ?? false);
  return (
    <Confirm
      title={known ? known.email : "New user"}
      action="Store"
      close={close}
      run={async () => {
        const body: Record<string, unknown> = { name, changePassword: change, suspended };
        if (!known || role !== known.userRole) body.userRole = role;
        if (password) body.currentPassword = password;
        if (!known) body.email = email;
        await request(known ? "PUT" : "POST", `/user/${known?.id ?? "0"}`, {
          service: "security",
          body,
        });
        tell(`${email} is stored`);
        done();
      }}
    >
      <Text
        label="E-mail address"
        type="email"
        value={email}
        set={setEmail}
        required
        disabled={known !== undefined}
        autocomplete="off"
      />
      <Text label="Name" value={name} set={setName} autocomplete="off" />
      <Select label="Role" value={role} set={setRole} options={ROLES} />
      <Text
        label={known ? "New password" : "Password"}
        type="password"
        value={password}
        set={setPassword}
        required={!known}
        autocomplete="new-password"
        hint={
          known
            ? "Empty: it stays. A new one ends the user's sessions."
            : "At least 8 characters, with upper and lower case letters, a digit and a special character."
        }
      />
      <Check
        label="Has to choose a new password at the next sign-in"
        value={change}
        set={setChange}
      />
      <Check
        label="Suspended"
        hint="May not sign in; sessions end at once."
        value={suspended}
        set={setSuspended}
      />
    </Confirm>
  );
}
