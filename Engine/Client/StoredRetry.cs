using System.Text.Json;
using Exporter.Engine.Workflows;

namespace Exporter.Engine.Client;

/// <summary>A run's own retry policy as it stands in the database: numbers only.</summary>
internal sealed record StoredRetry(double InitialSeconds, double Coefficient, double MaximumSeconds, int Attempts, double Jitter)
{
    public static string Of(RetryPolicy policy) => JsonSerializer.Serialize(
        new StoredRetry(
            policy.InitialInterval.TotalSeconds,
            policy.BackoffCoefficient,
            policy.MaximumInterval.TotalSeconds,
            policy.MaximumAttempts,
            policy.Jitter),
        JsonSerializerOptions.Web);

    public static RetryPolicy Read(string stored)
    {
        var retry = JsonSerializer.Deserialize<StoredRetry>(stored, JsonSerializerOptions.Web)!;
        return new RetryPolicy
        {
            InitialInterval = TimeSpan.FromSeconds(retry.InitialSeconds),
            BackoffCoefficient = retry.Coefficient,
            MaximumInterval = TimeSpan.FromSeconds(retry.MaximumSeconds),
            MaximumAttempts = retry.Attempts,
            Jitter = retry.Jitter,
        };
    }
}
