import {
  HeldFile,
  HeldFile as HeldFile$1,
  HoldOptions,
  OpenSource,
  ProcessRunnerOptions,
  createProcessRunner,
  heldFile,
  holdFile,
  isTemporaryName,
  openSource,
  pathOnly,
  preparePrivateFolder,
  spaceError,
} from "@disk-image/host";

export declare function renameInError(error: unknown, { path, name }: Pick<HeldFile$1, "name" | "path">): void;

export {
  type HeldFile,
  type HoldOptions,
  type OpenSource,
  type ProcessRunnerOptions,
  createProcessRunner,
  heldFile,
  holdFile,
  isTemporaryName,
  openSource,
  pathOnly,
  preparePrivateFolder,
  spaceError,
};
