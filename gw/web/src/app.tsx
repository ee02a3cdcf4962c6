import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, keep, onSignedOut, request, session } from "./api.ts";
import { useLoaded } from "./hooks.ts";
import { AccountPage } from "./pages/account.tsx";
import { AuditPage } from "./pages/audit.tsx";
import { BlacklistPage } from "./pages/blacklist.tsx";
import { ConfigurationsPage } from "./pages/configurations.tsx";
import { DevicePage } from "./pages/device.tsx";
import { DevicesPage } from "./pages/devices.tsx";
import { FirmwarePage } from "./pages/firmware.tsx";
import { NodePage } from "./pages/node.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { ScriptsPage } from "./pages/scripts.tsx";
import { SignIn } from "./pages/sign-in.tsx";
import { UsersPage } from "./pages/users.tsx";
import { followLinks, go, type Place, usePlace } from "./router.ts";
import { isAdministrator, SessionContext } from "./session.tsx";
import { isDark, setTheme } from "./theme.ts";
import type { User } from "./types.ts";
import { Boundary } from "./ui/boundary.tsx";
import { Icon, type IconName } from "./ui/icons.tsx";
import { Button, Empty, Failed, Link, Loading } from "./ui/parts.tsx";
import { Toasts } from "./ui/toast.tsx";

interface Section {
  path: string;
  label: string;
  icon: IconName;
  administrators?: boolean;
}

const SECTIONS: [heading: string, sections: Section[]][] = [
  [
    "Fleet",
    [
      { path: "/", label: "Overview", icon: "overview" },
      { path: "/devices", label: "Devices", icon: "devices" },
      { path: "/blacklist", label: "Blacklist", icon: "block" },
    ],
  ],
  [
    "Library",
    [
      { path: "/configurations", label: "Default configurations", icon: "configuration" },
      { path: "/firmware", label: "Firmware", icon: "firmware" },
      { path: "/scripts", label: "Scripts", icon: "scripts" },
    ],
  ],
  [
    "System",
    [
      { path: "/users", label: "Users", icon: "users", administrators: true },
      { path: "/audit", label: "Audit log", icon: "audit", administrators: true },
      { path: "/node", label: "Node", icon: "node" },
      { path: "/account", label: "Your account", icon: "account" },
    ],
  ],
];

function page(place: Place): JSX.Element {
  const [, first = "", second = "", third = ""] = place.path.split("/");
  switch (first) {
    case "":
      return <OverviewPage />;
    case "devices":
      return second ? (
        <DevicePage key={second} serial={second} tab={third || "overview"} />
      ) : (
        <DevicesPage place={place} />
      );
    case "blacklist":
      return <BlacklistPage />;
    case "configurations":
      return <ConfigurationsPage />;
    case "firmware":
      return <FirmwarePage />;
    case "scripts":
      return <ScriptsPage />;
    case "users":
      return <UsersPage />;
    case "audit":
      return <AuditPage place={place} />;
    case "node":
      return <NodePage />;
    case "account":
      return <AccountPage />;
    default:
      return (
        <Empty icon="search" title="There is no such page">
          The address may be mistyped. <Link to="/">Go to the overview</Link>
        </Empty>
      );
  }
}

export function App() {
  const [signedIn, set] = useState(session() !== null);
  useEffect(() => onSignedOut(() => set(false)), []);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: links handle keys
    <div class="root" onClick={followLinks}>
      {signedIn ? <Shell signedOut={() => set(false)} /> : <SignIn done={() => set(true)} />}
      <Toasts />
    </div>
  );
}

function Shell({ signedOut }: { signedOut: () => void }) {
  const place = usePlace();
  const me = useLoaded<User>("me", (signal) =>
    get("/oauth2?me=true", { service: "security", signal }),
  );
  const main = useRef<HTMLElement>(null);
  const [open, setOpen] = useState(false);
  const section = place.path.split("/").slice(0, 3).join("/");

  // each new page takes the focus
  useEffect(() => {
    setOpen(false);
    const head = main.current?.querySelector("h1");
    if (document.activeElement?.closest("nav")) head?.focus({ preventScroll: true });
    document.title = `${head?.textContent ?? "gw"} · gw console`;
  }, [section]);

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as Element;
      if (event.key !== "/" || target.closest("input, textarea, select, [contenteditable]")) return;
      event.preventDefault();
      if (!location.pathname.endsWith("/devices")) go("/devices");
      setTimeout(() => document.querySelector<HTMLInputElement>("#search")?.focus());
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);

  const signOut = async () => {
    const token = session()?.access ?? "";
    await request("DELETE", `/oauth2/${encodeURIComponent(token)}`, { service: "security" }).catch(
      () => undefined,
    );
    keep(null);
    signedOut();
  };

  if (me.error) {
    return (
      <div class="alone">
        <Failed what="Your session could not be read." error={me.error} retry={me.reload} />
        <Button onClick={signOut}>Sign in again</Button>
      </div>
    );
  }
  if (!me.value) return <Loading what="Opening the console" />;
  const user = me.value;
  return (
    <SessionContext.Provider value={{ user, reload: me.reload }}>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <div class={`shell${open ? " open" : ""}`}>
        <header class="top">
          <Button
            kind="quiet"
            icon="menu"
            aria-label="Menu"
            aria-expanded={open}
            aria-controls="menu"
            onClick={() => setOpen(!open)}
          />
          <span class="brand">
            <Brand />
          </span>
        </header>
        <nav id="menu" aria-label="Console">
          <span class="brand">
            <Brand />
          </span>
          {SECTIONS.map(([heading, sections]) => (
            <Group key={heading} heading={heading}>
              {sections
                .filter((one) => !one.administrators || isAdministrator(user))
                .map((one) => (
                  <li key={one.path}>
                    <Link
                      to={one.path}
                      aria-current={isCurrent(one.path, place.path) ? "page" : undefined}
                    >
                      <Icon name={one.icon} /> {one.label}
                    </Link>
                  </li>
                ))}
            </Group>
          ))}
          <div class="nav-foot">
            <span class="who" title={user.email}>
              {user.name || user.email}
              <small>{user.userRole}</small>
            </span>
            <ThemeButton />
            <Button
              kind="quiet"
              icon="out"
              aria-label="Sign out"
              title="Sign out"
              onClick={signOut}
            />
          </div>
        </nav>
        <main id="main" ref={main} tabIndex={-1}>
          <Boundary place={place.path}>{page(place)}</Boundary>
        </main>
      </div>
    </SessionContext.Provider>
  );
}

function isCurrent(path: string, here: string): boolean {
  return path === "/" ? here === "/" : here === path || here.startsWith(`${path}/`);
}

export function Brand() {
  return (
    <>
      <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
        <rect width="32" height="32" rx="7" class="mark" />
        <g class="waves">
          <path d="M7 13a13 13 0 0 1 18 0M11 18a7.4 7.4 0 0 1 10 0" />
        </g>
        <circle cx="16" cy="23" r="2.3" class="mark-dot" />
      </svg>
      gw
    </>
  );
}

function Group({ heading, children }: { heading: string; children: ComponentChildren }) {
  return (
    <>
      <h2>{heading}</h2>
      <ul>{children}</ul>
    </>
  );
}

function ThemeButton() {
  const [dark, set] = useState(isDark());
  const change = () => {
    setTheme(dark ? "light" : "dark");
    set(!dark);
  };
  return (
    <Button
      kind="quiet"
      icon={dark ? "sun" : "moon"}
      aria-label={dark ? "Light colours" : "Dark colours"}
      title={dark ? "Light colours" : "Dark colours"}
      onClick={change}
    />
  );
}
