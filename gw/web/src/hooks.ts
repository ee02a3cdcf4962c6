import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api.ts";

export interface Loaded<T> {
  value: T | undefined;
  error: ApiError | undefined;
  loading: boolean;
  /** Loads it again; the old value stays until then. */
  reload: () => void;
}

/**
 * Loads something, again when `key` changes, and every `seconds` while the page is seen.
 * The value of another key is never shown; a failure keeps the last value.
 */
export function useLoaded<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  seconds = 0,
): Loaded<T> {
  const [state, set] = useState<{ key: string; value?: T; error?: ApiError }>({ key: "" });
  const [turn, next] = useState(0);
  const latest = useRef(load);
  latest.current = load;

  // `turn` asks for another load
  useEffect(() => {
    if (key === "") return;
    const gone = new AbortController();
    let timer = 0;
    const once = async () => {
      if (document.visibilityState === "visible" || seconds === 0) {
        try {
          const value = await latest.current(gone.signal);
          if (!gone.signal.aborted) set({ key, value });
        } catch (error) {
          if (gone.signal.aborted) return;
          const failed =
            error instanceof ApiError ? error : new ApiError(0, 0, String(error), null);
          set((old) => (old.key === key ? { ...old, error: failed } : { key, error: failed }));
        }
      }
      if (seconds > 0 && !gone.signal.aborted) timer = window.setTimeout(once, seconds * 1000);
    };
    void once();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [key, seconds, turn]);

  const reload = useCallback(() => next((value) => value + 1), []);
  const own = state.key === key;
  return {
    value: own ? state.value : undefined,
    error: own ? state.error : undefined,
    loading: !own,
    reload,
  };
}

/** Returns a value once it has been the same for a moment. */
export function useSettled<T>(value: T, milliseconds: number): T {
  const [settled, set] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => set(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}

/** The time, every `seconds`. */
export function useNow(seconds = 1): number {
  const [now, set] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = window.setInterval(() => set(Date.now() / 1000), seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
  return now;
}
