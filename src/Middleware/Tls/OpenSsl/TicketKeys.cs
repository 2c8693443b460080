using System.Runtime.CompilerServices;
using System.Security.Cryptography;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>
/// The keys of a server's session tickets (RFC 5077, 4), and the context of its handshakes before their ClientHello. A key encrypts for one hour
/// and decrypts as long as its tickets are valid. Keys exist in this process only.
/// </summary>
internal sealed unsafe class TicketKeys
{
    private const int NameLength = 16;
    private const int IvLength = 16;
    private const int KeyLength = 32;

    /// <summary>The key is known.</summary>
    public const int Found = 1;

    /// <summary>The key is known, and the client gets a new ticket.</summary>
    public const int FoundAndRenews = 2;

    /// <summary>The result of an error: the handshake fails.</summary>
    public const int Failed = -1;

    private const int NotFound = 0;

    /// <summary>The lifetime of a session; at most 7 days (RFC 8446, 4.6.1).</summary>
    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(2);

    private static readonly TimeSpan Rotation = TimeSpan.FromHours(1);

    private static readonly ConditionalWeakTable<TimeProvider, TicketKeys> OfClocks = [];

    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly List<Key> _keys = [];

    private TicketKeys(TimeProvider time)
    {
        _time = time;
        Context = OpenSslLibrary.CreateContext();
        LibSsl.SSL_CTX_set_client_hello_cb(Context, &OpenSslCallbacks.ClientHello, 0);
        _ = LibSsl.SSL_CTX_set_timeout(Context, (long)Lifetime.TotalSeconds);
        // One per handshake of TLS 1.3: a client that resumes gets the next. It is sent at once, although a packet with the first answer would be
        // saved otherwise: it acknowledges the client's Finished, for which the kernel of a client with Nagle's algorithm holds the first request.
        OpenSslLibrary.Check(LibSsl.SSL_CTX_set_num_tickets(Context, 1));
        _ = LibSsl.SSL_CTX_set_tlsext_ticket_key_evp_cb(Context, &OpenSslCallbacks.ProtectTicket);
    }

    /// <summary>The context of servers until a ClientHello has selected a certificate. OpenSSL takes its ticket keys from here.</summary>
    public SslContextHandle Context { get; }

    /// <summary>Returns the keys that all servers with this clock share.</summary>
    public static TicketKeys For(TimeProvider time) => OfClocks.GetValue(time, static clock => new TicketKeys(clock));

    /// <summary>Prepares the cipher and the MAC of a ticket: AES-256-CBC, HMAC with SHA-256.</summary>
    /// <param name="name">The name of the key: 16 bytes.</param>
    /// <param name="iv">The initialization vector: 16 bytes.</param>
    /// <param name="cipher">The EVP_CIPHER_CTX.</param>
    /// <param name="mac">The EVP_MAC_CTX.</param>
    /// <param name="encrypts">Whether a ticket is encrypted.</param>
    /// <param name="isOld">Whether the key encrypts no more.</param>
    /// <returns>1 if it is prepared, 0 if the key is not known, -1 if OpenSSL failed.</returns>
    public int Protect(byte* name, byte* iv, nint cipher, nint mac, bool encrypts, out bool isOld)
    {
        isOld = false;
        Key? key;
        if (encrypts)
        {
            key = Current();
            key.Name.CopyTo(new Span<byte>(name, NameLength));
            RandomNumberGenerator.Fill(new Span<byte>(iv, IvLength));
        }
        else
        {
            key = Find(new ReadOnlySpan<byte>(name, NameLength), out bool isCurrent);
            if (key is null)
            {
                return NotFound;
            }

            isOld = !isCurrent;
        }

        fixed (byte* cipherKey = key.CipherKey, macKey = key.MacKey)
        {
            int prepared = encrypts
                ? LibSsl.EVP_EncryptInit_ex(cipher, LibSsl.EVP_aes_256_cbc(), 0, cipherKey, iv)
                : LibSsl.EVP_DecryptInit_ex(cipher, LibSsl.EVP_aes_256_cbc(), 0, cipherKey, iv);
            return prepared == 1 && SetMacKey(mac, macKey) ? Found : Failed;
        }
    }

    private static bool SetMacKey(nint mac, byte* key)
    {
        fixed (byte* keyName = "key\0"u8, digestName = "digest\0"u8, digest = "SHA256\0"u8)
        {
            LibSsl.Parameter* parameters = stackalloc LibSsl.Parameter[3];
            parameters[0] = new() { Key = keyName, Type = LibSsl.Parameter.OctetString, Data = key, Size = KeyLength };
            parameters[1] = new() { Key = digestName, Type = LibSsl.Parameter.Utf8String, Data = digest, Size = 6 };
            parameters[2] = default;
            return LibSsl.EVP_MAC_CTX_set_params(mac, parameters) == 1;
        }
    }

    private Key Current()
    {
        lock (_gate)
        {
            long now = _time.GetTimestamp();
            _ = _keys.RemoveAll(key => _time.GetElapsedTime(key.CreatedAt, now) >= Rotation + Lifetime);
            if (_keys.Count == 0 || _time.GetElapsedTime(_keys[^1].CreatedAt, now) >= Rotation)
            {
                _keys.Add(new Key(
                    RandomNumberGenerator.GetBytes(NameLength), RandomNumberGenerator.GetBytes(KeyLength), RandomNumberGenerator.GetBytes(KeyLength), now));
            }

            return _keys[^1];
        }
    }

    private Key? Find(ReadOnlySpan<byte> name, out bool isCurrent)
    {
        lock (_gate)
        {
            Key current = Current();
            foreach (Key key in _keys)
            {
                if (name.SequenceEqual(key.Name))
                {
                    isCurrent = key == current;
                    return key;
                }
            }
        }

        isCurrent = false;
        return null;
    }

    private sealed record Key(byte[] Name, byte[] CipherKey, byte[] MacKey, long CreatedAt);
}
