import type { NodeFacts } from "../types.ts";

export interface Rates {
  times: number[];
  received: (number | null)[];
  sent: (number | null)[];
  connects: (number | null)[];
}

export const NO_RATES: Rates = { times: [], received: [], sent: [], connects: [] };

/** Points that a chart of the last minutes keeps. */
const MOST = 150;

/** Adds what happened between two answers of the node; its counters begin anew when it restarts. */
export function withRates(rates: Rates, before: NodeFacts | undefined, now: NodeFacts): Rates {
  if (!before || now.now <= before.now) return rates;
  const seconds = now.now - before.now;
  const per = (name: keyof NodeFacts["totals"]) => {
    const grown = now.totals[name] - before.totals[name];
    return grown < 0 ? null : grown / seconds;
  };
  return {
    times: [...rates.times, now.now].slice(-MOST),
    received: [...rates.received, per("messagesReceived")].slice(-MOST),
    sent: [...rates.sent, per("messagesSent")].slice(-MOST),
    connects: [...rates.connects, per("connects")].slice(-MOST),
  };
}
