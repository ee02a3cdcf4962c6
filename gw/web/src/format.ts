/** Numbers, times and sizes as people read them. */

const numbers = new Intl.NumberFormat("en");
const dates = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const moments = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const clocks = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export const DAY = 86_400;

export function count(value: number): string {
  return numbers.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function date(seconds: number): string {
  return seconds > 0 ? dates.format(seconds * 1000) : "–";
}

export function moment(seconds: number): string {
  return seconds > 0 ? moments.format(seconds * 1000) : "–";
}

export function clock(milliseconds: number): string {
  return clocks.format(milliseconds);
}

/** A span in its two largest units, such as `3 d 4 h`. */
export function span(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const units: [string, number][] = [
    ["y", 365 * DAY],
    ["d", DAY],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  const at = units.findIndex(([, size]) => whole >= size);
  const first = units[at];
  if (!first) return "0 s";
  const second = units[at + 1];
  const rest = second ? Math.floor((whole % first[1]) / second[1]) : 0;
  const head = `${count(Math.floor(whole / first[1]))} ${first[0]}`;
  return second && rest > 0 ? `${head} ${rest} ${second[0]}` : head;
}

export function ago(seconds: number, now = Date.now() / 1000): string {
  if (seconds <= 0) return "never";
  const passed = now - seconds;
  if (passed < 5) return "just now";
  const units: [string, number][] = [
    ["d", DAY],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  const unit = units.find(([, size]) => passed >= size) ?? ["s", 1];
  return `${count(Math.floor(passed / unit[1]))} ${unit[0]} ago`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  let size = value;
  while (size >= 1000 && at < units.length - 1) {
    size /= 1000;
    at++;
  }
  return `${size >= 100 || at === 0 ? Math.round(size) : size.toFixed(1)} ${units[at]}`;
}

export function percent(part: number, whole: number): string {
  if (whole <= 0) return "–";
  const value = (100 * part) / whole;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  if (value > 99.9 && value < 100) return "> 99.9 %";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** A rate with as many digits as mean something. */
export function rate(perSecond: number): string {
  if (perSecond >= 100) return count(Math.round(perSecond));
  return perSecond >= 10 ? perSecond.toFixed(0) : perSecond.toFixed(1);
}

export function mac(serial: string): string {
  return /^[0-9a-f]{12}$/.test(serial) ? (serial.match(/../g) ?? []).join(":") : serial;
}
