// Paths between two points, as in jaxgen/latent/interpolation.py. a, b: Float32Array; share: from 0 to 1.

const PARALLEL = 1e-6; // sine of the angle below which the arc is the straight line

const mixed = (a, b, p, q) => Float32Array.from(a, (value, i) => p * value + q * b[i]);
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

const linear = (a, b, share) => mixed(a, b, 1 - share, share);

/** The arc, which keeps the length of normals. Source: Shoemake 1985; the angle: White 2016, section 2.1. */
function spherical(a, b, share) {
  const lengths = Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b));
  const angle = Math.acos(Math.max(-1, Math.min(1, lengths ? dot(a, b) / lengths : 1)));
  const sine = Math.sin(angle);
  if (sine < PARALLEL) return linear(a, b, share);
  return mixed(a, b, Math.sin((1 - share) * angle) / sine, Math.sin(share * angle) / sine);
}

export const PATHS = { linear, spherical };
