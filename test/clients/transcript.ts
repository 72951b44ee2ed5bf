/**
 * What a shell shows: commands and all that they print, in order, with what differs from server to server made equal.
 *
 * A script of commands is run against a real etcd and against this project's server, and the two transcripts must be the same text. Ids
 * are told by their order of appearance, addresses by a word. Revisions are not touched: both servers begin empty.
 */
import { Program } from "./program.ts";
import type { CommandResult } from "../helpers/run-command.ts";

export type Script = (shell: Transcript) => Promise<void>;

export interface TranscriptOptions {
  readonly url: string;
  /** 2 or 3, for etcdctl. */
  readonly api?: 2 | 3;
  readonly env?: Readonly<Record<string, string>>;
  /** Texts of this server alone, such as its directories, and what the transcript has instead. */
  readonly hide?: ReadonlyMap<string, string>;
}

export class Transcript {
  readonly url: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #hide: ReadonlyMap<string, string>;
  readonly #lines: string[] = [];
  readonly #ids = new Map<string, string>();

  constructor(options: TranscriptOptions) {
    this.url = options.url;
    this.env = { ETCDCTL_API: String(options.api ?? 3), ETCDCTL_ENDPOINTS: options.url, ...options.env };
    this.#hide = options.hide ?? new Map();
  }

  /** Runs a line of shell to its end and notes all of it. @param typed what it reads from the terminal */
  async run(line: string, typed = ""): Promise<CommandResult> {
    const program = this.start(line);
    program.type(typed);
    program.closeInput();
    const result = await program.ended;
    this.note(line, result);
    return result;
  }

  /** Runs it and notes nothing: for steps that are the same only in their effect. */
  async quietly(line: string): Promise<CommandResult> {
    const program = this.start(line);
    program.closeInput();
    return program.ended;
  }

  start(line: string): Program {
    // In place of the shell where it is all there is, so that signals reach it.
    const whole = /[;|]/.test(line) ? line : line.replace(/^etcdctl\b/, "exec etcdctl");
    return new Program("sh", ["-c", whole], this.env);
  }

  note(line: string, { code, stdout, stderr }: CommandResult): void {
    this.#lines.push(`$ ${line}`, stdout, stderr === "" ? "" : `stderr: ${stderr}`, code === 0 ? "" : `exit ${code}`);
  }

  text(): string {
    let text = this.#lines.filter((line) => line !== "").join("\n");
    for (const [own, word] of [...this.#hide, [this.url, "URL"], [this.url.replace(/^https?:\/\//, ""), "HOST"]] as const) {
      text = text.replaceAll(own, word);
    }
    return (
      text
        // What Go's client logs beside the error that the command prints: with time stamps, and only if there was time for it.
        .replaceAll(/^(stderr: )?\{"level":.*\n?/gm, "$1")
        .replaceAll(/https?:\/\/(?:localhost|127\.0\.0\.1):\d+/g, "PEER")
        .replaceAll(/\b(Member|cluster) +/g, "$1 ")
        .replaceAll(/took = \S+|"took":"[^"]+"/g, "took TIME")
        .replaceAll(/("?raft_?(?:term|index|applied_?index)"?\s*:\s*)\d+/gi, "$1N")
        // Of 64 bits, hexadecimal or decimal.
        .replaceAll(/\b(?:[0-9a-f]{12,16}|\d{17,20})\b/g, (id) => this.#named(id))
    );
  }

  #named(id: string): string {
    const key = /^\d{17,20}$/.test(id) ? BigInt(id).toString(16) : BigInt(`0x${id}`).toString(16);
    const known = this.#ids.get(key) ?? `ID${this.#ids.size + 1}`;
    this.#ids.set(key, known);
    return known;
  }
}
