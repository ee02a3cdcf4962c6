import { useEffect, useState } from "preact/hooks";
import { type ApiError, get } from "../api.ts";
import { moment } from "../format.ts";
import { useSettled } from "../hooks.ts";
import { type Place, queryText } from "../router.ts";
import type { AuditEntry } from "../types.ts";
import { Badge, Button, Empty, Failed, Loading, Page, Table } from "../ui/parts.tsx";

const PAGE = 50;

export function AuditPage({ place }: { place: Place }) {
  const [author, setAuthor] = useState(place.query.get("author") ?? "");
  const [target, setTarget] = useState(place.query.get("target") ?? "");
  const key = useSettled(queryText({ author: author.trim(), target: target.trim() }), 250);
  const [entries, setEntries] = useState<{ key: string; list: AuditEntry[]; more: boolean }>();
  const [error, setError] = useState<ApiError>();
  const [turn, again] = useState(0);
  const [busy, setBusy] = useState(false);

  const load = (before: number, signal?: AbortSignal) =>
    get<{ entries: AuditEntry[] }>(
      `/audit?limit=${PAGE}${before ? `&before=${before}` : ""}${key.replace("?", "&")}`,
      { service: "security", signal },
    );

  // `turn` asks for another load
  useEffect(() => {
    const gone = new AbortController();
    load(0, gone.signal)
      .then((found) => {
        setEntries({ key, list: found.entries, more: found.entries.length === PAGE });
        setError(undefined);
      })
      .catch((failed) => {
        if (!gone.signal.aborted) setError(failed as ApiError);
      });
    return () => gone.abort();
  }, [key, turn]);

  const more = async () => {
    setBusy(true);
    try {
      const found = await load(entries?.list.at(-1)?.id ?? 0);
      setEntries((old) =>
        old
          ? { ...old, list: [...old.list, ...found.entries], more: found.entries.length === PAGE }
          : old,
      );
    } catch (failed) {
      setError(failed as ApiError);
    } finally {
      setBusy(false);
    }
  };

  return (
    <Page
      title="Audit log"
      note="Who changed what, newest first. Nobody can change these entries."
      actions={
        <Button icon="restart" onClick={() => again(turn + 1)}>
          Refresh
        </Button>
      }
    >
      <search class="filters">
        <div class="field">
          <label for="audit-author">By whom</label>
          <input
            id="audit-author"
            type="search"
            placeholder="admin@localhost"
            value={author}
            onInput={(event) => setAuthor(event.currentTarget.value)}
          />
        </div>
        <div class="field">
          <label for="audit-target">To what</label>
          <input
            id="audit-target"
            type="search"
            placeholder="serial number or name"
            value={target}
            onInput={(event) => setTarget(event.currentTarget.value)}
          />
        </div>
      </search>
      {error && (
        <Failed
          what="The audit log could not be read."
          error={error}
          retry={() => again(turn + 1)}
        />
      )}
      {!entries && !error && <Loading />}
      {entries?.list.length === 0 && (
        <Empty icon="audit" title={author || target ? "No entry matches" : "No entry yet"}>
          {author || target ? "Both have to match exactly." : undefined}
        </Empty>
      )}
      {entries && entries.list.length > 0 && (
        <Table
          label="Audit log"
          rows={entries.list}
          rowKey={(one) => one.id}
          columns={[
            { head: "When", cell: (one) => <time>{moment(one.recorded)}</time> },
            {
              head: "Who",
              cell: (one) => (
                <>
                  {one.author || "–"}
                  <small>{[one.role, one.via, one.address].filter(Boolean).join(" · ")}</small>
                </>
              ),
            },
            {
              head: "What",
              cell: (one) => (
                <>
                  <span class="strong">{one.operation || "–"}</span>
                  <small class="mono wrap">{one.request}</small>
                </>
              ),
            },
            { head: "To what", cell: (one) => <span class="mono wrap">{one.target || "–"}</span> },
            {
              head: "Result",
              cell: (one) =>
                one.result === 0 ? (
                  <Badge tone="good" icon="check">
                    Done
                  </Badge>
                ) : one.result < 0 ? (
                  <Badge
                    tone="warn"
                    icon="dots"
                    title="The gateway ended before there was a result"
                  >
                    Unknown
                  </Badge>
                ) : (
                  <Badge
                    tone="bad"
                    icon="cross"
                    title={one.detail}
                  >{`Refused (${one.result})`}</Badge>
                ),
            },
          ]}
        />
      )}
      {entries?.more && (
        <p class="more">
          <Button busy={busy} onClick={more}>
            Show older ones
          </Button>
        </p>
      )}
    </Page>
  );
}
