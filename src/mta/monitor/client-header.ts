/** Sent by the management command; a browser cannot send it across origins, which keeps forged forms out. */
export const CLIENT_HEADER = 'x-posthorn-client';
