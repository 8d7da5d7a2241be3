using Exporter.Exports.Destinations;

namespace Exporter.Exports.Configuration;

/// <summary>Secrets come from files, from the environment or from standard input; as a flag, every user of the machine could see them.</summary>
internal static class SecretText
{
    private const int Longest = 64 * 1024;

    /// <summary>A secret from a file; <c>-</c> is standard input. One line break at its end is not part of it.</summary>
    /// <exception cref="UserErrorException">It cannot be read, or is empty.</exception>
    public static string ReadFile(string setting, string path)
    {
        try
        {
            using var reader = path == "-" ? Console.In : new StreamReader(path);
            var buffer = new char[Longest + 1];
            var length = reader.ReadBlock(buffer, 0, buffer.Length);
            return Checked(setting, length > Longest ? "" : new string(buffer, 0, length), path == "-" ? "standard input" : path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException(setting, $"{path} cannot be read.", "Correct the file's path or its permissions.", error);
        }
    }

    /// <summary>A secret from a variable.</summary>
    /// <exception cref="UserErrorException">It is not set, or empty.</exception>
    public static string ReadVariable(string setting, string variable) =>
        Checked(setting, Environment.GetEnvironmentVariable(variable) ?? "", $"variable {variable}");

    private static string Checked(string setting, string text, string place)
    {
        text = text.EndsWith("\r\n", StringComparison.Ordinal) ? text[..^2] : text.EndsWith('\n') ? text[..^1] : text;
        return text.Length > 0 && !text.Contains('\n', StringComparison.Ordinal) && !text.Contains('\0', StringComparison.Ordinal)
            ? text
            : throw new UserErrorException(setting, $"The {place} holds no secret of one line.", "Put the secret, and nothing else, there.");
    }
}
