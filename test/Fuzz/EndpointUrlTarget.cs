using System.Net;
using System.Text;
using ByteStreams.Transport.Validation;

namespace ByteStreams.Fuzz;

/// <summary>
/// Any text is the URL of an endpoint or a error that is told in one sentence with its remedy; what it stands for, written plainly,
/// stands for the same. The same for times, which are written beside it.
/// </summary>
internal static class EndpointUrlTarget
{
    public static void Run(ReadOnlySpan<byte> bytes)
    {
        string text = Encoding.UTF8.GetString(bytes);
        EndpointUrl? url = EndpointUrl.Parse(text, out string? error);
        Demand.That(url is null != error is null, "It is a URL and a error, or neither.");
        if (url is null)
        {
            Demand.That(error!.EndsWith('.'), () => $"A error without a remedy: {error}");
        }
        else
        {
            LookAt(url, text);
        }

        if (Duration.TryParse(text, out TimeSpan time) && time >= TimeSpan.Zero)
        {
            string shown = Duration.Show(time);
            Demand.That(Duration.TryParse(shown, out TimeSpan again) && again == time, () => $"'{text}' is {time}, and '{shown}' is {again}.");
        }
    }

    private static void LookAt(EndpointUrl url, string text)
    {
        string plain;
        if (url.EndPoint is EndPoint endPoint)
        {
            Demand.That(url is { Host: null, Port: 0, IsTls: false }, "A Unix socket with a host.");
            // The address as the system takes it: what is too long, or cut at a NUL, shows here.
            plain = $"unix:{endPoint}";
            SocketAddress native = endPoint.Serialize();
            Demand.That(endPoint.Create(native).Equals(endPoint), () => $"'{text}' is {endPoint}, and to the system {endPoint.Create(native)}.");
        }
        else if (url.Descriptor is string name)
        {
            Demand.That(url is { Host: null, Port: 0, IsTls: false }, "A socket that was handed over, with a host.");
            plain = $"fd:{name}";
        }
        else
        {
            Demand.That(url is { Host: not null, Port: >= 0 and <= 65535 }, "A host or a port is missing.");
            string host = url.Host!.Contains(':', StringComparison.Ordinal) ? $"[{url.Host}]" : url.Host;
            plain = $"{(url.IsTls ? "tls" : "tcp")}://{host}:{url.Port}";
        }

        EndpointUrl? again = EndpointUrl.Parse(plain, out string? error);
        Demand.That(url.Equals(again), () => $"'{text}' is '{plain}', and that is {(again is null ? error : "something else")}.");
    }
}
