// The pictures round a point, over the pad: one to choose per point. It knows nothing of ComfyUI.

function create(parent, tag, className) {
  const element = parent.appendChild(document.createElement(tag));
  element.className = className;
  return element;
}

export class Fan {
  /**
   * @param {HTMLElement} parent where it opens
   * @param {object} told what is told of; a point is {valence, arousal}
   * @param {(point) => void} told.onChoose a person chose this point's picture
   * @param {() => void} told.onChange it opened, closed, or all its pictures are there
   */
  constructor(parent, told) {
    Object.assign(this, told);
    this.drawing = false; // more pictures are to come
    this.element = create(parent, "div", "fan");
    this.element.hidden = true;
    this.element.setAttribute("role", "group");
    this.cells = create(this.element, "div", "cells");
    this.words = create(this.element, "p", "words");
    this.words.setAttribute("role", "status");
    this.element.addEventListener("pointerdown", (event) => event.button === 0 && event.stopPropagation());
    this.element.addEventListener("dblclick", (event) => event.stopPropagation());
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /**
   * Open, without pictures yet.
   * @param {Array<Array<object>>} rows of points, the most aroused first
   * @param {object} here which of them is in the middle
   * @param {(point) => string} nameOf how a point is read out
   */
  open(rows, here, nameOf) {
    this.cells.replaceChildren();
    this.cells.style.setProperty("--columns", rows[0].length);
    this.pictures = rows.flat().map((point) => this.addCell(point, point === here, nameOf(point)));
    this.set({ hidden: false, drawing: true });
  }

  addCell(point, isHere, name) {
    const cell = create(this.cells, "button", "cell");
    Object.assign(cell, { type: "button", title: name });
    cell.setAttribute("aria-label", name);
    if (isHere) cell.setAttribute("aria-current", "true");
    cell.addEventListener("click", () => this.onChoose(point));
    return create(cell, "img", "");
  }

  showPicture(index, address) {
    Object.assign(this.pictures[index], { src: address, alt: "" });
  }

  /** Say something in it, where the person looks. */
  tell(words) {
    this.words.textContent = words;
  }

  /** No more pictures come; if something went wrong, say what. */
  end(words = "") {
    if (this.isOpen) this.set({ hidden: false, drawing: false, words });
  }

  close() {
    this.set({ hidden: true, drawing: false });
  }

  set({ hidden, drawing, words = "" }) {
    this.element.hidden = hidden;
    this.drawing = drawing;
    this.tell(words);
    this.onChange();
  }
}
