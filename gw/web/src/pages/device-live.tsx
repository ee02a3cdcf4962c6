import { useEffect, useRef, useState } from "preact/hooks";
import { session } from "../api.ts";
import { bytes, clock, plural } from "../format.ts";
import { Icon } from "../ui/icons.tsx";
import { Badge, Button, Card, Code, Empty } from "../ui/parts.tsx";

interface Message {
  id: number;
  time: number;
  direction: "received" | "sent" | "session";
  method: string;
  size: number;
  message: unknown;
}

interface Frame extends Omit<Message, "id"> {
  tail?: { connected: boolean };
  leftOut?: number;
  error?: string;
}

type Link = "opening" | "open" | "closed";

const MOST = 500;
const AGAIN_MILLISECONDS = 2000;

/** Every message from and to the device, as it comes and goes. */
export function DeviceLive({ serial }: { serial: string }) {
  const [messages, setMessages] = useState<Message[]>([]);
  const [link, setLink] = useState<Link>("opening");
  const [missed, setMissed] = useState(0);
  const [why, setWhy] = useState("");
  const [paused, pause] = useState(false);
  const [wanted, want] = useState("");
  const number = useRef(0);
  const still = useRef(paused);
  still.current = paused;

  useEffect(() => {
    let socket: WebSocket | undefined;
    let timer = 0;
    let gone = false;
    const open = () => {
      setLink("opening");
      const opened = new WebSocket(`wss://${location.host}/api/v1/device/${serial}/tail`);
      socket = opened;
      opened.onopen = () => opened.send(`token:${session()?.access ?? ""}`);
      opened.onmessage = (event) => {
        const frame = JSON.parse(String(event.data)) as Frame;
        if (frame.error) {
          setWhy(typeof frame.error === "string" ? frame.error : JSON.stringify(frame.error));
          return;
        }
        setLink("open");
        setWhy("");
        if (frame.leftOut) setMissed((old) => old + (frame.leftOut ?? 0));
        if (frame.tail || frame.method === undefined || still.current) return;
        const { time, direction, method, size, message } = frame;
        setMessages((old) =>
          [{ id: ++number.current, time, direction, method, size, message }, ...old].slice(0, MOST),
        );
      };
      opened.onclose = () => {
        if (gone) return;
        setLink("closed");
        timer = window.setTimeout(open, AGAIN_MILLISECONDS);
      };
    };
    open();
    return () => {
      gone = true;
      clearTimeout(timer);
      socket?.close();
    };
  }, [serial]);

  const search = wanted.trim().toLowerCase();
  const shown = search
    ? messages.filter(
        (one) =>
          one.method.toLowerCase().includes(search) ||
          JSON.stringify(one.message).toLowerCase().includes(search),
      )
    : messages;
  return (
    <Card
      title="Live messages"
      note="Both directions, as they come and go. Messages may hold passwords."
      actions={
        <>
          <Button
            icon={paused ? "play" : "pause"}
            onClick={() => pause(!paused)}
            aria-pressed={paused}
          >
            {paused ? "Go on" : "Pause"}
          </Button>
          <Button kind="quiet" onClick={() => setMessages([])}>
            Clear
          </Button>
        </>
      }
    >
      <div class="filters">
        <span role="status" aria-live="polite">
          {link === "open" ? (
            <Badge tone={paused ? "hold" : "good"} icon={paused ? "pause" : "check"}>
              {paused ? "Paused" : "Following"}
            </Badge>
          ) : (
            <Badge tone="busy" icon="clock">
              {link === "opening" ? "Connecting" : "Connecting again"}
            </Badge>
          )}{" "}
          {missed > 0 && (
            <Badge tone="warn" icon="warning">
              {plural(missed, "message")} left out
            </Badge>
          )}
        </span>
        {why && <span class="bad-text">{why}</span>}
        <div class="field">
          <label for="tail-search">Containing</label>
          <input
            id="tail-search"
            type="search"
            value={wanted}
            onInput={(event) => want(event.currentTarget.value)}
          />
        </div>
      </div>
      {shown.length === 0 ? (
        <Empty
          icon="clock"
          title={messages.length ? "No message contains it" : "Waiting for messages"}
        >
          {messages.length
            ? undefined
            : "A device says something at least every minute or so. A ping makes both sides talk."}
        </Empty>
      ) : (
        <ol class="tail" aria-label="Messages, newest first">
          {shown.map((one) => (
            <li key={one.id} class={one.direction}>
              <details>
                <summary>
                  <time>{clock(one.time)}</time>
                  <span class="direction">
                    <Icon
                      name={
                        one.direction === "received"
                          ? "down"
                          : one.direction === "sent"
                            ? "up"
                            : "dash"
                      }
                    />
                    {one.direction === "received"
                      ? "from the device"
                      : one.direction === "sent"
                        ? "to the device"
                        : "session"}
                  </span>
                  <strong>{one.method || "answer"}</strong>
                  <span class="note">{bytes(one.size)}</span>
                </summary>
                <Code
                  label="Message"
                  text={
                    one.message === null
                      ? "too large to be shown"
                      : JSON.stringify(one.message, null, 2)
                  }
                />
              </details>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}
