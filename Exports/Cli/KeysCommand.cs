using System.CommandLine;
using System.Security.Cryptography;
using Exporter.Engine.Payloads;
using Exporter.Exports.Destinations;

namespace Exporter.Exports.Cli;

/// <summary><c>exporter keys</c>: the keys that secrets and payloads are encrypted with.</summary>
internal static class KeysCommand
{
    public static Command Keys() => new CliCommand("keys", "Encryption keys", "exporter keys generate", "exporter keys rotate")
        .With(Generate())
        .With(Rotate());

    private static CliCommand Generate() => new CliCommand(
        "generate",
        "Print a new encryption key. To rotate, put it before the old one, with a comma between",
        "export EXPORTER_ENCRYPTION_KEY=$(exporter keys generate)",
        "exporter keys generate > exporter.key && chmod 600 exporter.key && exporter migrate --encryption-key-file exporter.key")
        .Does((_, session, _) =>
        {
            var key = KeyRing.NewKey();
            session.Output.Answer(new { EncryptionKey = key }, output => output.Line(key));
            return Task.CompletedTask;
        });

    private static CliCommand Rotate() => new CliCommand(
        "rotate",
        "Encrypt everything again under the first key of the ring, in batches, while workers run; then the older keys can go",
        "EXPORTER_ENCRYPTION_KEY=NEW,OLD exporter keys rotate")
        .Does(async (_, session, cancellationToken) =>
        {
            session.Settings.RequiredKeys();
            try
            {
                var parts = (await new PayloadRotator(session.Data, session.Codec).RotateAsync(
                    progress => session.Output.Remark($"{progress.Part}: {progress.Seen:N0} seen, {progress.Rotated:N0} encrypted again"),
                    cancellationToken: cancellationToken).ConfigureAwait(false)).ToList();
                var (seen, rotated) = await session.Destinations.RotateAsync(cancellationToken).ConfigureAwait(false);
                parts.Add(new RotationProgress("destinations", seen, rotated));
                (seen, rotated) = await session.Quarantine.RotateAsync(cancellationToken).ConfigureAwait(false);
                parts.Add(new RotationProgress("bad_rows", seen, rotated));
                (seen, rotated) = await session.Deliveries.RotateAsync(cancellationToken).ConfigureAwait(false);
                parts.Add(new RotationProgress("dead_letters", seen, rotated));
                (seen, rotated) = await session.Notifications.RotateAsync(cancellationToken).ConfigureAwait(false);
                parts.Add(new RotationProgress("notification_targets", seen, rotated));
                await session.Requests.ForgetAnswersAsync(cancellationToken).ConfigureAwait(false);
                session.Output.Answer(parts, output =>
                {
                    output.Table(
                        ["PART", "SEEN", "ENCRYPTED AGAIN"], parts.Select(part => (IReadOnlyList<string?>)[part.Part, Output.Text(part.Seen), Output.Text(part.Rotated)]), "");
                    output.Line("Everything is under the first key now. Once every worker has it, the older keys can be taken out of the ring.");
                });
            }
            catch (CryptographicException error)
            {
                throw new UserErrorException(
                    "encryption_key", error.Message, "Set EXPORTER_ENCRYPTION_KEY to the new key and every older one, separated by commas.", error);
            }
        });
}
