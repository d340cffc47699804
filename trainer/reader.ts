/**
 * The reader's program: `node reader.ts <scratch> <memory>`. Reads items for the trainer, which starts it, limits it and
 * ends it: an item that crashes what reads it ends this process, and not the round.
 */
import { openItemReader } from "./read-item.ts";
import { serveReader } from "./reader-server.ts";

const [scratch = "", memory = ""] = process.argv.slice(2);
serveReader(openItemReader({ scratch, memory: Number(memory) }));
