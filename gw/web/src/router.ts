import { useEffect, useState } from "preact/hooks";

/** Below this path everything is the console's own. */
export const BASE = "/console";

export interface Place {
  /** Path below BASE, such as `/devices/02a0c9000001`. */
  path: string;
  query: URLSearchParams;
}

type Listener = () => void;
const listeners = new Set<Listener>();

function here(): Place {
  const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : "/";
  return { path: path === "" ? "/" : path, query: new URLSearchParams(location.search) };
}

/** Gives the start page of the listener its own address. */
export function settle(): void {
  if (!location.pathname.startsWith(`${BASE}/`)) history.replaceState(null, "", `${BASE}/`);
}

/** Goes to a path below BASE. With `replace` the browser's history keeps no trace of the old one. */
export function go(path: string, { replace = false } = {}): void {
  if (path === here().path + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", BASE + path);
  for (const one of listeners) one();
}

/** Tells where the console is, and renders again when that changes. */
export function usePlace(): Place {
  const [place, set] = useState(here);
  useEffect(() => {
    const changed = () => set(here());
    listeners.add(changed);
    addEventListener("popstate", changed);
    return () => {
      listeners.delete(changed);
      removeEventListener("popstate", changed);
    };
  }, []);
  return place;
}

/** Makes a query text of what is not empty; `?` included. */
export function queryText(values: Record<string, string | number | boolean | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== "" && value !== false) query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `?${text}` : "";
}

/** Handles clicks of links inside the console; new tabs and foreign links are the browser's. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || !link.pathname.startsWith(`${BASE}/`)) return;
  if (link.hash) return;
  event.preventDefault();
  go(link.pathname.slice(BASE.length) + link.search);
  document.querySelector("main")?.scrollTo(0, 0);
}
