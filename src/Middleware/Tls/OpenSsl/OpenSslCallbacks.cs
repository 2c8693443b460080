using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>
/// The functions that OpenSSL calls. None lets an exception through: a session or its side keeps it. They leave nothing in the thread's error queue,
/// which .NET's cryptography shares: OpenSSL would report it as the failure of the call that is in progress.
/// </summary>
internal static unsafe class OpenSslCallbacks
{
    /// <summary>The index of an SSL's application data (SSL_set_app_data).</summary>
    public const int SessionIndex = 0;

    private const int Retry = LibSsl.BioFlagsRead | LibSsl.BioFlagsShouldRetry;

    private static readonly nint BioMethod = CreateBioMethod();

    private static readonly int SslOfStore = LibSsl.SSL_get_ex_data_X509_STORE_CTX_idx();

    /// <summary>Creates the BIO between an SSL and its session.</summary>
    public static nint CreateBio(nint callbackData)
    {
        nint bio = LibSsl.BIO_new(BioMethod);
        LibSsl.BIO_set_data(bio, callbackData);
        LibSsl.BIO_set_init(bio, 1);
        return bio;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    public static int Verify(nint store, nint argument)
    {
        int result = SideOf(LibSsl.X509_STORE_CTX_get_ex_data(store, SslOfStore)).Verify(store);
        LibSsl.ERR_clear_error();
        return result;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    public static int SelectProtocol(nint ssl, byte** selected, byte* selectedLength, byte* offered, uint offeredLength, nint argument)
    {
        int index = SideOf(ssl).TrySelectProtocol(new ReadOnlySpan<byte>(offered, (int)offeredLength));
        LibSsl.ERR_clear_error();
        if (index < 0)
        {
            return index == OpenSslSide.NoProtocols ? LibSsl.ExtensionNoAcknowledgement : LibSsl.ExtensionAlertFatal;
        }

        *selected = offered + index + 1;
        *selectedLength = offered[index];
        return LibSsl.ExtensionOk;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    public static int ClientHello(nint ssl, int* alert, nint argument)
    {
        byte* extension;
        nuint length;
        bool hasName = LibSsl.SSL_client_hello_get0_ext(ssl, LibSsl.ExtensionServerName, &extension, &length) == 1;
        bool isAccepted = SideOf(ssl).TryAcceptHello(ssl, hasName ? new ReadOnlySpan<byte>(extension, (int)length) : default);
        LibSsl.ERR_clear_error();
        if (isAccepted)
        {
            return LibSsl.ClientHelloSuccess;
        }

        *alert = LibSsl.AlertInternalError;
        return LibSsl.ClientHelloError;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    public static int SelectCertificate(nint ssl, nint argument)
    {
        bool isSelected = SideOf(ssl).TrySelectCertificate(ssl);
        LibSsl.ERR_clear_error();
        return isSelected ? 1 : 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    public static int ProtectTicket(nint ssl, byte* name, byte* iv, nint cipher, nint mac, int encrypts) =>
        SideOf(ssl).ProtectTicket(ssl, name, iv, cipher, mac, encrypts != 0);

    private static OpenSslSide SideOf(nint ssl) => SslHandle.Find(LibSsl.SSL_get_ex_data(ssl, SessionIndex)).Side;

    private static nint CreateBioMethod()
    {
        nint method = LibSsl.BIO_meth_new(LibSsl.BIO_get_new_index() | LibSsl.BioSourceSink, "connection");
        _ = LibSsl.BIO_meth_set_read(method, &Read);
        _ = LibSsl.BIO_meth_set_write(method, &Write);
        _ = LibSsl.BIO_meth_set_ctrl(method, &Control);
        return method;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Read(nint bio, byte* destination, int length)
    {
        LibSsl.BIO_clear_flags(bio, Retry);
        int count = SslHandle.Find(LibSsl.BIO_get_data(bio)).TakeEncrypted(new Span<byte>(destination, length));
        if (count != 0)
        {
            return count;
        }

        // Also at EOF: the session stays usable for writes, and the channel knows whether the end is a truncation.
        LibSsl.BIO_set_flags(bio, Retry);
        return -1;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Write(nint bio, byte* source, int length)
    {
        LibSsl.BIO_clear_flags(bio, Retry);
        return SslHandle.Find(LibSsl.BIO_get_data(bio)).TryWriteEncrypted(new ReadOnlySpan<byte>(source, length)) ? length : -1;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static long Control(nint bio, int command, long number, nint argument) => command == LibSsl.BioControlFlush ? 1 : 0;
}
