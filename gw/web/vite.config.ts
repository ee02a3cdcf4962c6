import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const TEXTS = /\.(css|html|js|svg|txt)$/;
/** Smaller files gain nothing. */
const LEAST_BYTES = 512;

/** Writes a .br and a .gz beside each text of the build; the gateway sends them as they are. */
function precompressed(): Plugin {
  let folder = "";
  return {
    name: "precompressed",
    apply: "build",
    configResolved(config) {
      folder = config.build.outDir;
    },
    closeBundle() {
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        const file = join(entry.parentPath ?? entry.path, entry.name);
        const content = entry.isFile() && TEXTS.test(entry.name) ? readFileSync(file) : undefined;
        if (content === undefined || content.length < LEAST_BYTES) continue;
        const best = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
        writeFileSync(`${file}.br`, brotliCompressSync(content, { params: best }));
        writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "/console/",
  root: import.meta.dirname ?? ".",
  plugins: [precompressed()],
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    // The policy of the gateway allows no data: URLs for anything but images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // `npm run dev` beside a gateway: GW_API=https://localhost:16002 npm run dev
  server: {
    proxy: Object.fromEntries(
      ["/api", "/console/security", "/console/config.json"].map((path) => [
        path,
        {
          target: process.env.GW_API ?? "https://localhost:16002",
          secure: false,
          ws: true,
        },
      ]),
    ),
  },
});
