import { render } from "preact";
import { configure } from "./api.ts";
import { App } from "./app.tsx";
import { settle } from "./router.ts";
import { startTheme } from "./theme.ts";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/pages.css";

startTheme();
settle();
const root = document.getElementById("app");
if (root) {
  // Without an answer the console starts all the same, and says at the sign-in what is wrong.
  void configure()
    .catch(() => undefined)
    .then(() => render(<App />, root));
}
