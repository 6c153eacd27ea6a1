// Before the first search.

export class Welcome {
  constructor(place, actions) {
    Object.assign(this, { place, actions });
  }

  async show() {}
}
