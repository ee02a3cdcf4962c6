import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../api.ts";
import { useLoaded } from "../hooks.ts";
import type { NodeFacts } from "../types.ts";
import { NO_RATES, type Rates, withRates } from "./rates.ts";

const SECONDS = 2;

/** The node now, and what it did in the last minutes while the page was open. */
export function useNode() {
  const node = useLoaded<NodeFacts>("node", (signal) => get("/node", { signal }), SECONDS);
  const [rates, set] = useState<Rates>(NO_RATES);
  const before = useRef<NodeFacts>();
  useEffect(() => {
    const now = node.value;
    if (!now) return;
    const last = before.current;
    set((old) => withRates(old, last, now));
    before.current = now;
  }, [node.value]);
  return { node, rates };
}
