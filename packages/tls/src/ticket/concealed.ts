// Objects that carry a secret and may end up in a log by accident: what inspects or serialises them sees its length only.

/** For those that are made for every handshake: a prototype costs nothing, {@link concealSecret} a microsecond. */
export abstract class Concealed {
  abstract readonly secret: Uint8Array

  toJSON(): object {
    return withoutSecret.call(this)
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return withoutSecret.call(this)
  }
}

/** `object` itself, with a `secret` that neither `util.inspect` nor `JSON.stringify` shows. Reading it stays as it was. */
export function concealSecret<Holder extends { readonly secret: Uint8Array }>(object: Holder): Holder {
  return Object.defineProperties(object, CONCEALED)
}

function withoutSecret(this: { readonly secret: Uint8Array }): object {
  return { ...this, secret: `<${this.secret.length} secret bytes>` }
}

const CONCEALED: PropertyDescriptorMap = {
  [Symbol.for('nodejs.util.inspect.custom')]: { value: withoutSecret },
  toJSON: { value: withoutSecret },
}
