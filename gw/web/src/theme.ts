export type Theme = "auto" | "light" | "dark";

const STORE = "gw-theme";
const THEMES: readonly string[] = ["auto", "light", "dark"];

export function theme(): Theme {
  const kept = localStorage.getItem(STORE) ?? "auto";
  return (THEMES.includes(kept) ? kept : "auto") as Theme;
}

export function setTheme(chosen: Theme): void {
  localStorage.setItem(STORE, chosen);
  startTheme();
}

/** Has the style sheets follow the choice; `auto` is what the system wants. */
export function startTheme(): void {
  const chosen = theme();
  const root = document.documentElement;
  if (chosen === "auto") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", chosen);
}

/** Tells whether it is dark now. */
export function isDark(): boolean {
  const chosen = theme();
  return (
    chosen === "dark" || (chosen === "auto" && matchMedia("(prefers-color-scheme: dark)").matches)
  );
}
