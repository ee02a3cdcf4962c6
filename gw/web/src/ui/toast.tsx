import { useEffect, useState } from "preact/hooks";
import { Icon } from "./icons.tsx";

interface Notice {
  id: number;
  text: string;
  tone: "good" | "bad";
}

let last = 0;
let show: (notice: Notice) => void = () => {};
const SHOWN_MILLISECONDS = 5000;
const MOST = 4;

/** Tells in a corner what was done. */
export function tell(text: string, tone: Notice["tone"] = "good"): void {
  show({ id: ++last, text, tone });
}

export function Toasts() {
  const [notices, set] = useState<Notice[]>([]);
  useEffect(() => {
    show = (notice) => {
      set((old) => [...old.slice(1 - MOST), notice]);
      setTimeout(() => set((old) => old.filter((one) => one.id !== notice.id)), SHOWN_MILLISECONDS);
    };
    return () => {
      show = () => {};
    };
  }, []);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {notices.map((one) => (
        <div key={one.id} class={`toast ${one.tone}`}>
          <Icon name={one.tone === "good" ? "check" : "cross"} /> {one.text}
        </div>
      ))}
    </div>
  );
}
