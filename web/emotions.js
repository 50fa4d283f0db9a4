// Where feelings lie on the valence-arousal plane, both axes from -3 to 3.

export const LIMIT = 3;

// The circumplex's eight words, a turn of 45 degrees apart, at their angle from pleasure.
export const OCTANTS = [
  { name: "pleasure", angle: 0 },
  { name: "excitement", angle: 45 },
  { name: "arousal", angle: 90 },
  { name: "distress", angle: 135 },
  { name: "displeasure", angle: 180 },
  { name: "depression", angle: 225 },
  { name: "sleepiness", angle: 270 },
  { name: "relaxation", angle: 315 },
];

// Named emotions: Russell (1980), "A circumplex model of affect", figure 4, times 3.
export const EMOTIONS = [
  { name: "happy", valence: 2.48, arousal: 1.58 },
  { name: "excited", valence: 1.85, arousal: 2.27 },
  { name: "astonished", valence: 0.47, arousal: 2.67 },
  { name: "pleased", valence: 2.31, arousal: 0.55 },
  { name: "relaxed", valence: 2.07, arousal: -1.36 },
  { name: "at ease", valence: 1.77, arousal: -0.78 },
  { name: "calm", valence: 1.69, arousal: -0.92 },
  { name: "sleepy", valence: 0.84, arousal: -2.01 },
  { name: "tired", valence: 0.13, arousal: -1.88 },
  { name: "bored", valence: -1.99, arousal: -1.91 },
  { name: "sad", valence: -1.94, arousal: -0.8 },
  { name: "miserable", valence: -2.09, arousal: -0.23 },
  { name: "angry", valence: -1.57, arousal: 1.75 },
  { name: "frustrated", valence: -1.94, arousal: 1.53 },
  { name: "annoyed", valence: -1.64, arousal: 1.24 },
  { name: "afraid", valence: -1.02, arousal: 1.92 },
];

export function distance(a, b) {
  return Math.hypot(a.valence - b.valence, a.arousal - b.arousal);
}

/** The named emotion nearest to a point. */
export function nearestEmotion(point) {
  return EMOTIONS.reduce((best, next) => (distance(next, point) < distance(best, point) ? next : best));
}

/** The named emotions counter-clockwise from pleasure: the order in which the keyboard goes round them. */
export const ROUND = [...EMOTIONS].sort((a, b) => turn(a) - turn(b));

/** A point's angle from pleasure, in [0, 2 pi). */
export function turn({ valence, arousal }) {
  return (Math.atan2(arousal, valence) + 2 * Math.PI) % (2 * Math.PI);
}
