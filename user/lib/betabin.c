/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lib/betabin.h"

#include <math.h>

/* Shares are kept off 0 and 1, where any exception would be proof. */
#define P_MIN	1e-6
#define RHO_MIN 1e-9
#define RHO_MAX 0.99

static const double added[] = { 0.01, 0.03, 0.1, 0.3 };
#define N_ADDED (sizeof(added) / sizeof(added[0]))

double fg_log_add(double a, double b)
{
	double hi = a > b ? a : b, lo = a > b ? b : a;

	return lo == -INFINITY ? hi : hi + log1p(exp(lo - hi));
}

static double clamp(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* ln B(x + m p, n - x + m (1 - p)) / B(m p, m (1 - p)) up to what does not depend on p. m is the
 * number of draws that the beta distribution is worth. */
static double log_likelihood(double x, double n, double p, double m)
{
	double a = m * p, b = m * (1 - p);

	return lgamma(x + a) - lgamma(a) + lgamma(n - x + b) - lgamma(b);
}

double fg_betabin_log(double x, double n, double p, double rho)
{
	double m = 1 / clamp(rho, RHO_MIN, RHO_MAX) - 1;

	return log_likelihood(x, n, clamp(p, P_MIN, 1 - P_MIN), m) + lgamma(m) - lgamma(n + m) +
	       lgamma(n + 1) - lgamma(x + 1) - lgamma(n - x + 1);
}

double fg_betabin_log_e(double x, double n, double p, double rho)
{
	double m = 1 / clamp(rho, RHO_MIN, RHO_MAX) - 1, null, sum = -INFINITY;

	p = clamp(p, P_MIN, 1 - P_MIN);
	null = log_likelihood(x, n, p, m);
	for (size_t i = 0; i < N_ADDED; i++)
		sum = fg_log_add(sum, log_likelihood(x, n, p + added[i] * (1 - p), m) - null);
	return sum - log(N_ADDED);
}

double fg_p_log_e(double p)
{
	double l;

	p = clamp(p, 1e-300, 1);
	l = -log(p);
	/* 1/2 + l/3 - ... and the differences below lose all their digits */
	if (l < 1e-4)
		return log(0.5);
	return log(1 - p - p * l) - log(p) - 2 * log(l);
}

double fg_shiryaev_roberts(double log_r, double log_e)
{
	return fg_log_add(0, log_r) + log_e;
}

size_t fg_e_bh(const double *log_e, size_t n, double q)
{
	for (size_t k = n; k > 0; k--)
		if (log_e[k - 1] >= log((double)n / (q * (double)k)))
			return k;
	return 0;
}
