/** Numbers of backup and recovery that more than one file needs. */

/** Revisions that a new life is ahead of the old one: far more than is written between a backup and a loss, and they last for ever all the same. */
export const BUMP_REVISION_DEFAULT = 1_000_000;
