//! Random numbers from a seed that is always passed in, and the kinds of noise that series have.

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): small, seeded, good enough for simulations.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator whose numbers depend on the seed alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1, never 0.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller, Annals of Mathematical Statistics 1958).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
    }

    /// Poisson: by products of uniforms (Knuth) for small means, rounded normal above.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        const SMALL: f64 = 30.0;
        if mean > SMALL {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let limit = (-mean).exp();
        let (mut product, mut n) = (self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            n += 1.0;
        }
        n
    }
}

/// Kinds of noise, each with deviation near one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// Independent normal values.
    White,
    /// Autoregressive with this correlation of neighbours.
    Ar(f64),
    /// White, and in one step of fifty a burst that halves each step.
    Bursty,
    /// White around a daily wave of three deviations.
    Seasonal,
}

impl Noise {
    /// `n` values at steps of `step_s` seconds, the first at second `from`.
    #[must_use]
    pub fn series(self, rng: &mut Rng, n: usize, from: i64, step_s: i64) -> Vec<f64> {
        let mut last = 0.0;
        let mut burst = 0.0;
        let mut values = Vec::with_capacity(n);
        for i in 0..n {
            let white = rng.normal();
            values.push(match self {
                Self::White => white,
                Self::Ar(r) => {
                    last = r * last + (1.0 - r * r).sqrt() * white;
                    last
                }
                Self::Bursty => {
                    burst = if rng.uniform() < 0.02 { 6.0 } else { burst / 2.0 };
                    white + burst
                }
                Self::Seasonal => {
                    let day = (from + i as i64 * step_s).rem_euclid(86_400) as f64 / 86_400.0;
                    white + 3.0 * (2.0 * std::f64::consts::PI * day).sin()
                }
            });
        }
        values
    }
}
