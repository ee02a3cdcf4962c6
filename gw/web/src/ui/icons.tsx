/** Line icons on a grid of 20, drawn in the colour of the text. */
const PATHS = {
  overview: "M3 11l7-7 7 7M5 9.5V17h10V9.5",
  devices: "M4 13h12v4H4zM7 15h.01M10 15h.01M6 10a5.6 5.6 0 0 1 8 0M8 6.5a8 8 0 0 1 4 0",
  configuration: "M5 3h7l3 3v11H5zM8 9h4M8 12h4",
  firmware: "M6 6h8v8H6zM8 3v3M12 3v3M8 14v3M12 14v3M3 8h3M3 12h3M14 8h3M14 12h3",
  scripts: "M3 5h14v10H3zM6 8l2 2-2 2M10 12h4",
  block: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM5 5l10 10",
  users: "M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4 17c.6-3.300 3-5 6-5s5.400 1.700 6 5",
  audit: "M4 4h12M4 8h12M4 12h7M4 16h5M14 13v4M12 15h4",
  node: "M4 4h12v5H4zM4 11h12v5H4zM7 6.500h.01M7 13.500h.01",
  account:
    "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM10 10a2.200 2.200 0 1 0 0-4.400 2.200 2.200 0 0 0 0 4.400zM5.500 15.200c.8-2 2.500-3 4.500-3s3.700 1 4.500 3",
  search: "M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zM13 13l4 4",
  check: "M4 10.500l4 4 8-9",
  cross: "M5 5l10 10M15 5L5 15",
  clock: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM10 6v4l3 2",
  drift: "M3 7h10l-3-3M17 13H7l3 3",
  pause: "M7 5v10M13 5v10",
  dash: "M5 10h10",
  dots: "M5 10h.01M10 10h.01M15 10h.01",
  warning: "M10 3.500L17.500 16.500h-15zM10 8v4M10 14.300h.01",
  menu: "M3 6h14M3 10h14M3 14h14",
  sun: "M10 7a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM10 2v2M10 16v2M2 10h2M16 10h2M4.300 4.300l1.400 1.400M14.300 14.300l1.400 1.400M4.300 15.700l1.400-1.400M14.300 5.700l1.400-1.400",
  moon: "M16 11.500A6.500 6.500 0 0 1 8.500 4 6.500 6.500 0 1 0 16 11.500z",
  out: "M8 4H4v12h4M12 6l4 4-4 4M16 10H8",
  copy: "M7 7h9v9H7zM4 13V4h9",
  plus: "M10 4v12M4 10h12",
  restart: "M15.500 6.500A6.500 6.500 0 1 0 16.500 11M16 3v4h-4",
  key: "M7 10a3 3 0 1 0 0 .01M10 10h7M14 10v3M17 10v2",
  down: "M10 3v10M6 9l4 4 4-4M4 17h12",
  up: "M10 15V5M6 9l4-4 4 4",
  next: "M7 4l6 6-6 6",
  back: "M13 4l-6 6 6 6",
  light: "M10 3a5 5 0 0 1 3 9v2H7v-2a5 5 0 0 1 3-9zM8 17h4",
  wifi: "M3 8a10 10 0 0 1 14 0M6 11.300a5.800 5.800 0 0 1 8 0M10 15h.01",
  edit: "M4 16l1-4 8-8 3 3-8 8zM11 6l3 3",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.600L14 6",
  play: "M7 4.500v11l8-5.500z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      class="icon"
      viewBox="0 0 20 20"
      width="20"
      height="20"
      aria-hidden="true"
      focusable="false"
    >
      <path
        d={PATHS[name]}
        fill="none"
        stroke="currentColor"
        stroke-width="1.6"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
