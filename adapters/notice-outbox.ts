/**
 * Notices for webhook and command. notify() only writes them down, each once for each channel, and answers; they are sent beside
 * that, so a place that does not answer stops and slows nothing. Whatever is killed, the next process that delivers goes on: a
 * notice whose try was cut off is sent again.
 */
import { join } from "node:path";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { noticeBody, noticeId } from "../protocol/notices.ts";
import type { Notice, Notify } from "../protocol/ports.ts";
import type { NoticeChannel } from "./notice-channel.ts";
import { NoticeFolder, type Undelivered } from "./notice-folder.ts";
import { NoticeQueue, type Words } from "./notice-queue.ts";

export interface NoticeOutboxOptions {
  /** has a folder for each channel; created if it is not there */
  readonly folder: string;
  readonly channels: readonly NoticeChannel[];
  /** the kinds that the channels get */
  readonly on: readonly Notice["kind"][];
  /** where a process says how deliveries go that does not start() */
  readonly words: Words;
}

export interface NoticeOutbox extends Notify {
  /**
   * Once it has answered, a kill loses nothing. What can't be written for another reason than a full disk is said and lost: the
   * pipeline goes on. Without start() each is tried once, beside what follows.
   * @throws {AccreteError} OUT_OF_DISK: the tick is made again
   */
  notify(notice: Notice): Promise<void>;
  /** Delivers from now on, also what earlier processes and others have left. */
  start(words: Words): void;
  /** Ends that; what was told last is tried once, for a few seconds. Never throws. */
  stop(): Promise<void>;
  /** What has not reached people, by channel; those without are left out. */
  undelivered(): Promise<readonly (Undelivered & { readonly channel: NoticeChannel["name"] })[]>;
}

export function openNoticeOutbox({ folder, channels, on, words }: NoticeOutboxOptions): NoticeOutbox {
  let started: Words | undefined;
  const open = channels.map((channel) => {
    const path = join(folder, channel.name);
    return { channel, path, queue: new NoticeQueue(channel, path, () => started ?? words) };
  });

  async function keep(queue: NoticeQueue, notice: Notice): Promise<void> {
    const id = noticeId(notice);
    try {
      const isNew = await queue.add(id, noticeBody(notice, new Date().toISOString()));
      if (!isNew) return;
    } catch (error) {
      if (error instanceof AccreteError && error.code === "OUT_OF_DISK") throw error;
      (started ?? words).warn("outbox", `a notice is lost, as it can't be written down: ${messageOf(error)}`);
      return;
    }
    if (started === undefined) void queue.tryOnce(id);
    else queue.start();
  }

  return {
    async notify(notice) {
      if (!on.includes(notice.kind)) return;
      for (const { queue } of open) await keep(queue, notice);
    },
    start(words) {
      started = words;
      for (const { queue } of open) queue.start();
    },
    async stop() {
      await Promise.all(open.map(({ queue }) => queue.stop()));
    },
    async undelivered() {
      const all = await Promise.all(
        open.map(async ({ channel, path }) => ({
          channel: channel.name,
          ...(await new NoticeFolder(path).undelivered()),
        })),
      );
      return all.filter(({ waiting, givenUp }) => waiting + givenUp > 0);
    },
  };
}
