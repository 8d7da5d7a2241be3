using Exporter.Exports.Destinations.S3;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.Staging;

/// <summary>The settings of the bucket that a warehouse's files are staged in: those of the kind s3, with <c>stage_</c> before them.</summary>
internal static class StageSettings
{
    /// <summary>What the settings of the bucket begin with; behind it they are those of the kind s3.</summary>
    public const string Prefix = "stage_";

    // Those of S3 that mean nothing for files that are read once and removed.
    private static readonly HashSet<string> NotStaged = [S3Options.StorageClassSetting, S3Options.ConditionalSetting];

    /// <summary>For a kind's list.</summary>
    /// <param name="isRequired">Whether there can be no files without a bucket.</param>
    public static IEnumerable<DestinationSetting> All(bool isRequired) => S3Options.Kind.Settings.Where(setting => !NotStaged.Contains(setting.Name)).Select(setting => setting with
    {
        Name = Prefix + setting.Name,
        Description = "Of the bucket for staged files. " + setting.Description,
        Place = false,
        Required = setting.Required && isRequired,
    });

    /// <summary>Reads them; what they may be is what S3's may be, and a message names them as they are named here.</summary>
    /// <exception cref="UserErrorException">One is missing or out of range.</exception>
    public static S3Options Read(Destination destination)
    {
        var staged = new Destination
        {
            Name = destination.Name,
            Kind = "s3",
            Settings = new([.. destination.Settings.Where(setting => IsStage(setting.Key)).Select(setting => KeyValuePair.Create(setting.Key[Prefix.Length..], setting.Value?.DeepClone()))]),
            Secrets = destination.Secrets.Where(secret => IsStage(secret.Key)).ToDictionary(secret => secret.Key[Prefix.Length..], secret => secret.Value),
        };
        try
        {
            return DestinationOptions.Read<S3Options>(staged).Validate();
        }
        catch (UserErrorException error)
        {
            throw new UserErrorException(Prefix + error.Setting, error.Problem, error.Advice, error);
        }

        static bool IsStage(string name) => name.StartsWith(Prefix, StringComparison.Ordinal);
    }
}
