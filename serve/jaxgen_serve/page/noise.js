// JAX's normals: the noise of image `index` of a seed, as in jaxgen/sampling/prng.py. The model's file makes its own
// noise; this is for interpolation, which starts from a mixture of two noises.

const ROTATIONS = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
]; // Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", table 1
const PARITY = 0x1bd11bda;

// Giles 2010, "Approximating the erfinv function", table 5, highest power first.
const CENTRAL = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
  0.246640727, 1.50140941,
];
const TAIL = [
  -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
  1.00167406, 2.83297682,
];

/** The first normals of an image: Float32Array [count]. seed, index: integers in [0, 2^32). */
export function imageNoise(seed, index, count) {
  const key = threefry(threefry([0, seed], [0, index]), [0, 0]);
  return Float32Array.from({ length: count }, (_, i) => {
    const [a, b] = threefry(key, [0, i]);
    return Math.SQRT2 * erfinv(uniform((a ^ b) >>> 0));
  });
}

/** Threefry-2x32: encrypts two words under a key of two, in 20 rounds. */
function threefry([k0, k1], [c0, c1]) {
  const schedule = [k0, k1, k0 ^ k1 ^ PARITY];
  let [x0, x1] = [(c0 + k0) | 0, (c1 + k1) | 0];
  for (let block = 0; block < 5; block++) {
    for (const rotation of ROTATIONS[block % 2]) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << rotation) | (x1 >>> (32 - rotation))) ^ x0;
    }
    x0 = (x0 + schedule[(block + 1) % 3]) | 0;
    x1 = (x1 + schedule[(block + 2) % 3] + block + 1) | 0;
  }
  return [x0, x1];
}

/** A float32 in (-1, 1) from the upper 23 bits. */
const uniform = (word) => Math.fround(((word >>> 9) / 2 ** 23) * 2 - (1 - 2 ** -24));

function erfinv(u) {
  const w = -Math.log(Math.fround(1 - Math.fround(u * u)));
  const p = w < 5 ? polynomial(CENTRAL, w - 2.5) : polynomial(TAIL, Math.sqrt(w) - 3);
  return p * u;
}

const polynomial = (coefficients, x) => coefficients.reduce((sum, c) => sum * x + c, 0);
