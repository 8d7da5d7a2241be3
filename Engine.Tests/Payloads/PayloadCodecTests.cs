using System.Security.Cryptography;
using System.Text;
using CsCheck;
using Exporter.Engine.Payloads;

namespace Exporter.Engine.Tests.Payloads;

/// <summary>What is stored can be read with its key, in its place, and not otherwise.</summary>
public sealed class PayloadCodecTests
{
    [Test]
    public void What_is_written_is_read_back() => Gen.Byte.Array.Sample(plain =>
    {
        var codec = new PayloadCodec(KeyRing.Parse(KeyRing.NewKey()));
        var stored = codec.Protect(plain, "here");
        Assert.That(codec.Unprotect(stored, "here"), Is.EqualTo(plain));
    });

    [TestCase(true)]
    [TestCase(false)]
    public void A_long_payload_is_stored_compressed_and_read_back(bool encrypted)
    {
        var codec = new PayloadCodec(encrypted ? KeyRing.Parse(KeyRing.NewKey()) : KeyRing.Empty);
        var text = string.Concat(Enumerable.Repeat("lorem ipsum ", 10_000));
        var stored = codec.Write(text, "here");
        Assert.That(stored, Has.Length.LessThan(2_000));
        Assert.That(codec.Read<string>(stored, "here"), Is.EqualTo(text));
        var random = RandomNumberGenerator.GetBytes(100_000);
        Assert.That(codec.Unprotect(codec.Protect(random, "here"), "here"), Is.EqualTo(random));
        Assert.That(codec.Protect(random, "here"), Has.Length.LessThan(random.Length + 50), "what cannot be compressed does not grow");
    }

    [Test]
    public void A_secret_does_not_stand_in_what_is_stored()
    {
        var stored = new PayloadCodec(KeyRing.Parse(KeyRing.NewKey())).Write(new { Password = "hunter2hunter2" }, "here");
        Assert.That(Encoding.Latin1.GetString(stored), Does.Not.Contain("hunter2"));
    }

    [Test]
    public void A_payload_that_was_moved_or_changed_is_refused()
    {
        var codec = new PayloadCodec(KeyRing.Parse(KeyRing.NewKey()));
        var stored = codec.Write("value", "here");
        Assert.That(() => codec.Read<string>(stored, "there"), Throws.InstanceOf<CryptographicException>());
        for (var index = 0; index < stored.Length; index++)
        {
            var changed = stored.ToArray();
            changed[index] ^= 2;
            Assert.That(() => codec.Read<string>(changed, "here"), Throws.InstanceOf<CryptographicException>(), $"byte {index}");
        }
    }

    [Test]
    public void An_old_key_still_reads_and_the_newest_writes()
    {
        var (old, now) = (KeyRing.NewKey(), KeyRing.NewKey());
        var stored = new PayloadCodec(KeyRing.Parse(old)).Write("value", "here");
        var both = new PayloadCodec(KeyRing.Parse($"{now},{old}"));
        Assert.That(both.Read<string>(stored, "here"), Is.EqualTo("value"));
        var error = Assert.Throws<CryptographicException>(() => new PayloadCodec(KeyRing.Parse(old)).Read<string>(both.Write("value", "here"), "here"));
        Assert.That(error!.Message, Does.Contain("not in the ring"));
    }

    [TestCase("short")]
    [TestCase("AAAA")]
    public void A_bad_key_is_refused_without_being_shown(string key) =>
        Assert.That(() => KeyRing.Parse(key), Throws.InstanceOf<FormatException>().With.Message.Not.Contain(key));
}
