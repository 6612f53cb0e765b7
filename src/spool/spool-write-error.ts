/** The disk did not take a transaction; nothing of it is stored. The message says where and why. */
export class SpoolWriteError extends Error {
  override readonly name = 'SpoolWriteError';
}
