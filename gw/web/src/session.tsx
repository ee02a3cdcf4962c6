import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { User } from "./types.ts";

export interface Session {
  user: User;
  reload: () => void;
}

export const SessionContext = createContext<Session | null>(null);

/** Returns who is signed in; only below the shell. */
export function useSession(): Session {
  const found = useContext(SessionContext);
  if (!found) throw new Error("nobody is signed in");
  return found;
}

/** Tells whether somebody may do what only administrators may. */
export function isAdministrator(user: User): boolean {
  return user.userRole === "root" || user.userRole === "admin";
}
